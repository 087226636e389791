"""What a run folder says, as values; what is missing stays missing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coterie.core.errors import UserError

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Arm:
    """One run: its recipe, its events, and its results if it is finished."""

    path: Path
    recipe: Mapping[str, Any]
    environment: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return bool(self.results)

    @property
    def clients(self) -> list[str]:
        return list(self.results.get("clients", {}))

    @property
    def prompts(self) -> list[str]:
        return list(self.recipe["pictures"].get("prompts", []))

    def base(self, client: str, test: str) -> float | None:
        """Loss of the bare backbone on one of a client's test sets."""
        return _loss(self.results.get("history", []), client, test, "base", 0)

    def loss(self, client: str, test: str, adapter: str) -> float | None:
        """Loss at the end: of what was ``served``, or of what is ``personal``."""
        return _loss(self.results.get("final", []), client, test, adapter, None)

    def kept(self, client: str) -> str:
        """What a client keeps in the end: ``personal`` where there is one, else ``served``."""
        return "personal" if self.results.get("personal", {}).get(client) else "served"

    def removed(self, client: str, test: str, adapter: str = "") -> float | None:
        """Share of the base's loss removed by what the client keeps, or by the adapter named."""
        base, loss = self.base(client, test), self.loss(client, test, adapter or self.kept(client))
        return None if base is None or loss is None else 1 - loss / base

    def removed_at(self, round: int, client: str) -> float | None:
        """Share of the base's loss on a client's own pictures removed by what was served after a round."""
        base, loss = self.base(client, "own"), _loss(self.results["history"], client, "own", "served", round)
        return None if base is None or loss is None else 1 - loss / base

    def rows(self, **wanted: Any) -> list[Mapping[str, Any]]:
        """Bytes rows as dictionaries, chosen by their fields."""
        names = ("round", "client", "direction", "link", "purpose", "wasted", "bytes", "messages")
        rows = [dict(zip(names, row, strict=True)) for row in self.results.get("bytes", [])]
        return [row for row in rows if all(row[key] == value for key, value in wanted.items())]

    def server_pictures(self, name: str) -> list[Pixels]:
        return _pictures(self.path / "server" / "pictures" / name)

    def site_pictures(self, client: str, name: str) -> list[Pixels]:
        return _pictures(self.path / "sites" / client / "pictures" / name)


def read_run(path: Path) -> tuple[Arm, Arm | None]:
    """A run and its control, if it has one.

    Raises:
        UserError: if a file is there and cannot be read.
    """
    control = path / "control"
    return _arm(path), _arm(control) if (control / "server" / "recipe.toml").is_file() else None


def _arm(path: Path) -> Arm:
    server = path / "server"
    try:
        recipe = tomllib.loads((server / "recipe.toml").read_text())
        lines = (server / "journal.jsonl").read_text().splitlines() if (server / "journal.jsonl").is_file() else []
        results = _json(server / "results.json")
        return Arm(path, recipe, _json(server / "environment.json"), [e for e in map(_event, lines) if e], results)
    except (OSError, ValueError) as error:
        raise UserError(f"{server}: the run cannot be read: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _event(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}


def _loss(scores: Sequence[Mapping[str, Any]], client: str, test: str, adapter: str, round: int | None) -> float | None:
    for score in scores:
        same = (score["client"], score["test"], score["adapter"]) == (client, test, adapter)
        if same and round in (None, score["round"]):
            return float(score["loss"])
    return None


def _pictures(folder: Path) -> list[Pixels]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
