"""What ``coterie compare`` says of runs side by side: their numbers, the keys that differ, and people paired."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.core.place import Place
from coterie.core.shelf import shelf_name
from coterie.evals.paired import paired
from coterie.runs.folder import open_run
from coterie.runs.losses import mean_losses, own_losses
from coterie.runs.places import Move, moved
from coterie.runs.plain import as_plain
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import Recipe, deciding
from coterie.wire.meter import Meter

SEED = 0  # of the bootstrap
TOLD = ("data.prompt", "data.wish", "data.truth_column")  # keys of the data that change no picture
UNMEASURED = (*TOLD, "evaluation.every", "evaluation.copies", "backbone.checkpointing")
SAME = 1e-3  # of a loss: what one machine may differ from another


@dataclass(frozen=True)
class Side:
    """One of the runs; ``results`` is None while it is unfinished."""

    path: Path
    recipe: Recipe
    results: dict[str, Any] | None


def compare(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Two or more runs as plain values: ``runs`` has a row for each, ``keys`` a row for each key that differs, and
    ``pairs`` the first run against every other one.

    Raises:
        UserError: if there are fewer than two, or one is no run.
    """
    if len(paths) < 2:
        raise UserError("compare wants two or more runs, like: coterie compare runs/studio runs/studio-2")
    folders = [open_run(Path(path)) for path in paths]
    sides = [Side(f.path, read_recipe(f.server / "recipe.toml"), f.read_json("results.json")) for f in folders]
    names = [str(side.path) for side in sides]
    if len(set(names)) < len(names):
        raise UserError("compare: give every run once")
    return {
        "runs": [row_of(side) for side in sides],
        "keys": differing(dict(zip(names, (deciding(side.recipe) for side in sides), strict=True))),
        "pairs": [pair_of(sides[0], side) for side in sides[1:]],
    }


def row_of(side: Side) -> dict[str, Any]:
    """The numbers of one run; losses are means over people of their own held-out pictures."""
    results = side.results
    row: dict[str, Any] = {"run": str(side.path), "form": shelf_name(side.recipe.form), "rounds": side.recipe.rounds}
    columns = ("people", "bare", "served", "kept", "removed", "up_bytes", "down_bytes", "seconds")
    if results is None:
        return row | dict.fromkeys(columns)
    losses = own_losses(results)
    mean = mean_losses(losses)
    removed = sum(loss.removed for loss in losses.values()) / len(losses) if losses else None
    meter = Meter.from_plain(results["bytes"])
    moved = [sum(meter.total(direction=way, wasted=wasted) for wasted in (False, True)) for way in ("up", "down")]
    numbers = (*(mean or (None, None, None)), removed, *moved, results["seconds"])
    return row | dict(zip(columns, (len(results["clients"]), *numbers), strict=True))


def differing(recipes: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each dotted key whose value is not the same in all recipes; a key that one lacks is None there.

    >>> differing({"a": {"seed": 0, "form": {"name": "local"}}, "b": {"seed": 1, "form": {"name": "local"}}})
    [{'key': 'seed', 'a': 0, 'b': 1}]
    """
    flat = {name: flattened(plain) for name, plain in recipes.items()}
    keys = list(dict.fromkeys(key for one in flat.values() for key in one))
    values = {key: [one.get(key) for one in flat.values()] for key in keys}
    unlike = {key: found for key, found in values.items() if any(value != found[0] for value in found)}
    return [{"key": key, **dict(zip(flat, found, strict=True))} for key, found in unlike.items()]


def flattened(plain: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A tree of settings with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in plain.items():
        found |= flattened(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def pair_of(first: Side, second: Side) -> dict[str, Any]:
    """The second run against the first, person by person: shares of loss removed by what each person keeps.

    Where they were not measured on the same things, ``refused`` says what differs and there are no numbers.
    """
    pair: dict[str, Any] = {"first": str(first.path), "second": str(second.path)}
    if first.results is None or second.results is None:
        stopped = first if first.results is None else second
        return pair | {"refused": f"{stopped.path} is not finished; go on with: coterie run --resume {stopped.path}"}
    why = difference(first, second)
    if why:
        return pair | {"refused": why}
    one, other = own_losses(first.results), own_losses(second.results)
    shares = {client: (one[client].removed, other[client].removed) for client in one}
    found = paired([a for a, _ in shares.values()], [b for _, b in shares.values()], SEED)
    return pair | {"refused": None, **asdict(found), "people": {c: b - a for c, (a, b) in shares.items()}}


def difference(first: Side, second: Side) -> str:
    """Why people of two finished runs cannot be paired, or nothing.

    The seed counts: it decides which pictures are held out and the noise that they are measured with.
    """
    assert first.results is not None
    assert second.results is not None
    alike = _told(first.recipe) == _told(second.recipe)
    # Where both are told the same, the bare backbone's losses (below) say whether the pictures are the same, wherever
    # they lie. Else only the names of their files and folders can.
    place = nowhere if alike else last_name
    rows = differing({"a": measured(first.recipe, place), "b": measured(second.recipe, place)})
    if rows:
        return "; ".join(f"{row['key']} is {_short(row['a'])} and {_short(row['b'])}" for row in rows)
    if first.results["backbone_digest"] != second.results["backbone_digest"]:
        return f"the backbone is {first.results['backbone_digest']} and {second.results['backbone_digest']}"
    if first.results["clients"] != second.results["clients"]:
        return "the people or their numbers of pictures are not the same"
    one, other = own_losses(first.results), own_losses(second.results)
    if not one or one.keys() != other.keys():
        return "nobody has held-out pictures" if not one and not other else "not the same people have held-out pictures"
    if alike:
        unlike = [c for c in one if not math.isclose(one[c].bare, other[c].bare, rel_tol=SAME)]
        if unlike:
            return f"the bare backbone's loss on the pictures of {unlike[0]} differs, so the pictures do"
    return ""


def measured(recipe: Recipe, place: Move) -> dict[str, Any]:
    """The keys that decide what losses are measured on.

    Args:
        recipe: of a finished run.
        place: what stands for the path of a file or folder, which is another on every machine.
    """
    plain = moved(as_plain(recipe), Recipe, place)
    deciding_keys = flattened({key: plain[key] for key in ("seed", "data", "backbone", "evaluation")})
    return {key: value for key, value in deciding_keys.items() if key not in UNMEASURED}


def nowhere(text: str, place: Place) -> str:
    """A path or an id of a hub left out."""
    return ""


def last_name(text: str, place: Place) -> str:
    """A path by what its file or folder is called, an id of a hub by what is behind its owner."""
    return Path(text).name


def _told(recipe: Recipe) -> tuple[Any, ...]:
    return recipe.data.prompt, recipe.data.wish, recipe.engine.dtype, recipe.engine.tokens


def _short(value: Any) -> str:
    return "absent" if value is None else str(value)
