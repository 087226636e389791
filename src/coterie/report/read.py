"""What a run folder says, as typed values. Pieces that are missing stay missing; nothing is computed here."""

from __future__ import annotations

import json
import math
import struct
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from coterie.core.errors import UserError
from coterie.wire.meter import Meter

Pixels = NDArray[np.uint8]
Texts = list[tuple[str, str]]
"""Prompts, and how each goes on."""


@dataclass(frozen=True)
class Score:
    """Held-out loss of one adapter on one test set of a client; ``levels``: four groups from clean to noisy, or one."""

    round: int
    client: str
    test: str
    adapter: str
    loss: float
    levels: tuple[float, ...]
    count: int


@dataclass(frozen=True)
class Client:
    """What is known of a client.

    ``truth`` is there only where a simulation knows the real group, ``joined`` and ``left`` are the rounds before which
    it came, if it was not there at the start, and went for good.
    """

    name: str
    examples: int | None = None
    truth: str | None = None
    joined: int | None = None
    left: int | None = None


@dataclass(frozen=True)
class Copies:
    """Pictures drawn, those that count as copies, and the share expected of pictures that are none."""

    pictures: int
    copies: int
    expected: float


@dataclass(frozen=True)
class Arm:
    """One run: the main one or its control.

    Attributes:
        path: of the run folder.
        recipe: as resolved.
        environment: versions and the machine's kind.
        events: of the journal, in order.
        results: of a finished run; empty for one that is not.
        clients: by name, in order of names.
        clusters: by client; empty where the form has none.
        numbers: what grouping and training noted, the newest value of each.
        history: scores after each round.
        final: scores of what was served and of what is personal, at the end.
        meter: bytes that crossed.
        digest: of the backbone, empty if unknown.
    """

    path: Path
    recipe: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    clients: Mapping[str, Client] = field(default_factory=dict)
    clusters: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Score] = ()
    final: Sequence[Score] = ()
    copies: Mapping[str, Copies] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)
    digest: str = ""

    @property
    def finished(self) -> bool:
        return bool(self.results)

    @property
    def form(self) -> str:
        return str(self.table("form").get("name", "?"))

    @cached_property
    def form_settings(self) -> Any:
        """The form itself, out of the recipe; None if there is no such form here, or one that has other settings."""
        from coterie.federation.shelves import FORMS  # torch comes with it

        try:
            return FORMS.build(self.table("form"), "form")
        except UserError:
            return None

    @property
    def count(self) -> int:
        """How many clients there are; of a run that has not written down their names, as its journal says."""
        told = [int(e["clients"]) for e in self.events if e.get("event") == "people" and e.get("clients")]
        return len(self.clients) or max([0, *told])

    @property
    def sends_adapters(self) -> bool:
        """Whether what people hand over in training is adapters."""
        form = self.form_settings
        return not (getattr(form, "trains_alone", False) or getattr(form, "splits_layers", False))

    @property
    def group(self) -> str:
        """What a group of people is called."""
        return str(getattr(self.form_settings, "group", "cluster"))

    @property
    def groups_found(self) -> bool:
        """Whether groups were found, and not written down in the recipe."""
        return str(self.table("form").get("grouping", {}).get("name")) != "given"

    @property
    def personal(self) -> bool:
        """Whether people keep an adapter that is theirs alone."""
        return self.form == "local" or str(self.table("form").get("keeping", {}).get("name", "none")) != "none"

    @property
    def alone(self) -> bool:
        """Whether the clients are one person's folders, as ``coterie train`` has them."""
        return self.form == "local" and self._of_folders

    @cached_property
    def _of_folders(self) -> bool:
        from coterie.data.shelf import SOURCES, whose

        try:
            return whose(SOURCES[str(self.table("data").get("source", {}).get("name", SOURCES.default))]) == "folders"
        except UserError:  # a source that is not installed here
            return False

    @property
    def name(self) -> str:
        """The folder's, and the recipe's where that is another one."""
        folder = self.path.resolve().name
        recipe = str(self.recipe.get("name", folder))
        return folder if recipe == folder else f"{folder} ({recipe})"

    @property
    def prompts(self) -> list[str]:
        return [str(p) for p in self.table("pictures").get("prompts", [])]

    @property
    def rounds_done(self) -> int:
        return max([0, *(int(e.get("round", 0)) for e in self.events if e.get("event") == "round_done")])

    @cached_property
    def rounds_by_number(self) -> Mapping[int, Mapping[str, Any]]:
        """What the journal says of each round that was done, 0 the enrolment; the last time of a round counts."""
        return {int(e["round"]): e for e in self.events if e.get("event") == "round_done"}

    @property
    def wishes(self) -> Mapping[str, Sequence[float]]:
        return self.results.get("wishes") or {}

    def table(self, name: str) -> Mapping[str, Any]:
        """A table of the recipe, empty if it is not there."""
        found = self.recipe.get(name)
        return found if isinstance(found, Mapping) else {}

    @property
    def written(self) -> bool:
        """Whether the backbone makes texts."""
        told = any(e.get("event") == "people" and e.get("what") == "documents" for e in self.events)
        return told or self.results.get("makes") == "texts"

    @property
    def noun(self) -> str:
        """What a client has, one of them."""
        return "passage" if self.written else "picture"

    @property
    def made(self) -> str:
        """What a model does to make one."""
        return "written" if self.written else "drawn"

    def server_texts(self, name: str) -> Texts:
        return texts_in(self.path / "server" / "texts" / f"{name}.json")

    def site_texts(self, client: str, name: str) -> Texts:
        return texts_in(self.path / "sites" / client / "texts" / f"{name}.json")

    def kept_texts(self, client: str) -> Texts:
        """The prompts by what a client keeps; by what it was served, from the server, where it wrote nothing itself."""
        served = self.server_texts(self.clusters.get(client, "global")) or self.server_texts("global")
        return self.site_texts(client, "final") or served

    def server_pictures(self, name: str) -> list[Pixels]:
        return pictures_in(self.path / "server" / "pictures" / name)

    def kept_pictures(self, client: str) -> list[Pixels]:
        """The prompts by what a client keeps; by what it was served, from the server, where it drew nothing itself."""
        served = self.server_pictures(self.clusters.get(client, "global")) or self.server_pictures("global")
        return self.site_pictures(client, "final") or served

    def captions(self, client: str) -> list[str]:
        """What the pictures of a client show: prompts of its own, or those of everybody."""
        path = self.path / "sites" / client / "pictures" / "final" / "captions.json"
        try:
            return [str(caption) for caption in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return self.prompts

    def site_pictures(self, client: str, name: str) -> list[Pixels]:
        return pictures_in(self.path / "sites" / client / "pictures" / name)


def read_run(path: Path) -> tuple[Arm, Arm | None]:
    """A run and its control, if it has one.

    Raises:
        UserError: if there is no run, or a file of it cannot be read.
    """
    control = path / "control"
    return read_arm(path), read_arm(control) if (control / "server" / "recipe.toml").is_file() else None


def read_arm(path: Path) -> Arm:
    """One run from its folder.

    Raises:
        UserError: if there is no run, or a file of it cannot be read.
    """
    server = path / "server"
    try:
        recipe = tomllib.loads((server / "recipe.toml").read_text(encoding="utf-8"))
        environment, results = _json(server / "environment.json"), _json(server / "results.json")
        events = _events(server / "journal.jsonl")
        clusters = results.get("clusters") or _last(events, "clusters")
        names = results.get("clients") or {name: {} for name in clusters or _sites(path)}
        return Arm(
            path=path, recipe=recipe, environment=environment, events=events, results=results,
            clients={
                c: Client(c, *(k.get(key) for key in ("examples", "truth", "joined", "left")))
                for c, k in sorted(names.items())
            },
            clusters=dict(clusters), numbers={**_numbers(events), **(results.get("numbers") or {})},
            history=_scores(results.get("history", [])), final=_scores(results.get("final", [])),
            copies=_copies(results.get("copies") or {}), meter=Meter.from_plain(results.get("bytes", [])),
            digest=str(results.get("backbone_digest") or _digest_of_backbone(server)),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UserError(f"{path}: not a run; make one with: coterie run") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{server}: the run cannot be read: {type(error).__name__}: {error}") from error


def pictures_in(folder: Path) -> list[Pixels]:
    """The pictures of a folder by name; one that cannot be read is left out, and so is a folder that is not there."""
    found = []
    for path in sorted(folder.glob("*.png")):
        try:
            with Image.open(path) as picture:
                found.append(np.asarray(picture.convert("RGB"), dtype=np.uint8))
        except (OSError, UnidentifiedImageError):
            continue
    return found


def texts_in(path: Path) -> Texts:
    """Prompts and how they go on; nothing where the file is not there or cannot be read."""
    try:
        return [(str(one["prompt"]), str(one["text"])) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _events(path: Path) -> list[dict[str, Any]]:
    """The journal; a line cut by a kill is left out."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _last(events: Sequence[Mapping[str, Any]], key: str) -> dict[str, str]:
    found = [e[key] for e in events if e.get("event") == "round_done" and e.get(key)]
    return dict(found[-1]) if found else {}


def _numbers(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    merged: dict[str, float] = {}
    for event in events:
        if event.get("event") == "round_done":
            merged |= event.get("numbers") or {}
    return merged


def _sites(path: Path) -> list[str]:
    folder = path / "sites"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _scores(rows: Iterable[Mapping[str, Any]]) -> tuple[Score, ...]:
    return tuple(
        Score(
            int(row["round"]), str(row["client"]), str(row["test"]), str(row["adapter"]), float(row["loss"]),
            tuple(float(x) for x in row.get("levels", ())), int(row.get("count", 0)),
        )
        for row in rows
        if math.isfinite(float(row["loss"]))
    )  # fmt: skip


def _copies(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Copies]:
    plain = {c: Copies(int(k["pictures"]), int(k["copies"]), float(k["expected"])) for c, k in found.items()}
    return {c: k for c, k in plain.items() if k.pictures and math.isfinite(k.expected)}


def _digest_of_backbone(server: Path) -> str:
    """The backbone's digest as the first published adapter's file names it; safetensors: length, then JSON."""
    for path in sorted((server / "adapters").glob("*/adapter_model.safetensors")):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 1 << 24)))
        return str(header.get("__metadata__", {}).get("backbone", ""))
    return ""
