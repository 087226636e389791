"""What a finished run would have cost on the air: its metered bytes and its counted work on a modelled clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from coterie.air.clock import PAID, Lap, laps
from coterie.air.profiles import air_of, title_of
from coterie.bank.operations import Operations, operations_of, operations_of_sides
from coterie.core.errors import UserError
from coterie.engines.disk import write_bytes
from coterie.models.parts import parts_of
from coterie.runs.build import load_backbone
from coterie.runs.folder import open_run
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import Recipe

FILE = "air.json"


def price(path: Path, names: Sequence[str], sets: Sequence[str] = (), file: Path | None = None) -> dict[str, Any]:
    """Prices a run with each profile, and adds that to ``server/air.json``, beside what else it was priced with.

    Args:
        path: of a finished run.
        names: of profiles.
        sets: numbers that override all of them, like ``cell.up=3``.
        file: of more profiles.

    Returns:
        ``operations`` of one example, and where a form splits layers those of a training step at a client;
        ``profiles`` by title (``title_of``), each with its ``numbers`` as they were used, ``rounds`` and ``total``, see
        the functions of these names. Only those that were asked for.

    Raises:
        UserError: if the run is not finished, or a profile is wrong.
    """
    airs = {name: air_of(name, sets, file) for name in names}
    folder = open_run(path)
    results, recipe = folder.results(), read_recipe(folder.server / "recipe.toml")
    if "work" not in results:
        raise UserError(f"{path}: was made by an older version, which did not count what clients compute; run it again")
    each, side = _operations(recipe)
    work: dict[tuple[int, str], float] = {}
    for number, client, kind, purpose, _, examples in results["work"]:
        if purpose in PAID:
            cost = each.forward if kind != "trained" else (side if purpose == "train" else each).training
            work[number, client] = work.get((number, client), 0.0) + cost * examples
    paces = {c: device.pace for c, device in recipe.devices.of(list(results["clients"]), recipe.seed).items()}
    losses = _losses(results)
    told = {"forward": each.forward, "training": each.training}
    told |= {"at_client": side.training} if side is not each else {}
    found: dict[str, Any] = {"operations": told, "profiles": {}}
    for name, (air, plain) in airs.items():
        played = laps(results["bytes"], lambda r, c: (work.get((r, c), 0.0), paces.get(c, 1.0)), air, recipe.seed)
        priced = {"numbers": plain, "rounds": rounds(played, losses), "total": total(played)}
        found["profiles"][title_of(name, plain)] = priced
    before = folder.read_json(FILE) or {}
    earlier = before["profiles"] if before.get("operations") == found["operations"] else {}
    kept = {**found, "profiles": {**earlier, **found["profiles"]}}
    write_bytes(folder.server / FILE, (json.dumps(kept, indent=1) + "\n").encode())
    return found


def rounds(played: Sequence[Lap], losses: dict[int, float]) -> list[dict[str, Any]]:
    """A row for each round, with the clock and the energy until its end."""
    out, seconds, joules = [], 0.0, 0.0
    for lap in played:
        seconds, joules = seconds + lap.seconds, joules + lap.joules
        out.append({
            "round": lap.round, "seconds": lap.seconds, "parts": dict(lap.parts), "slowest": lap.slowest,
            "joules": lap.joules, "clients": len(lap.clients), "until": seconds, "joules_until": joules,
            "loss": losses.get(lap.round),
        })  # fmt: skip
    return out


def total(played: Sequence[Lap]) -> dict[str, float]:
    """Of the whole run: seconds, joules of all clients, of a mean one and of the one that spends most, by what for."""
    clients: dict[str, float] = {}
    kinds = {"radio": 0.0, "compute": 0.0}
    for lap in played:
        for client, cost in lap.clients.items():
            clients[client] = clients.get(client, 0.0) + sum(cost.joules.values())
            kinds = {kind: kinds[kind] + cost.joules[kind] for kind in kinds}
    mean = fmean(clients.values()) if clients else 0.0
    return {
        "seconds": sum(lap.seconds for lap in played), "joules": sum(clients.values()), "radio": kinds["radio"],
        "compute": kinds["compute"], "joules_mean": mean, "joules_most": max(clients.values(), default=0.0),
        **{part: sum(lap.parts[part] for lap in played) for part in ("down", "across", "up")},
        "training": sum(lap.parts["compute"] for lap in played),
    }  # fmt: skip


def _losses(results: dict[str, Any]) -> dict[int, float]:
    """Mean held-out loss of what was served after each scored round."""
    by_round: dict[int, list[float]] = {}
    for score in results["history"]:
        if score["test"] == "own" and (
            score["adapter"] == "served" or (score["adapter"], score["round"]) == ("base", 0)
        ):
            by_round.setdefault(score["round"], []).append(score["loss"])
    return {number: fmean(values) for number, values in by_round.items()}


def _operations(recipe: Recipe) -> tuple[Operations, Operations]:
    """Of an example in the whole model, and of one in a round's training at a client, which may have a part of it."""
    backbone = load_backbone(recipe)
    layout, parts = recipe.method.layout(backbone), parts_of(backbone, recipe.form)
    whole = operations_of(backbone, layout)
    return whole, whole if parts is None else operations_of_sides(backbone, layout, parts)[0]
