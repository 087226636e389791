"""What the page says of the modelled air, out of the file that ``coterie air`` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coterie.report.air_plot import plot

TEXTS = ("about", "sources", "changed")


def on_air(server: Path) -> dict[str, Any] | None:
    """Rows by profile and by scored round; None if the run was not priced."""
    file = server / "air.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text("utf-8"))
    rows = [
        {"name": name, "total": one["total"], "about": one["numbers"].get("about", "a profile of one's own"),
         "sources": one["numbers"].get("sources", "no source is named"), "numbers": numbers(one["numbers"])}
        for name, one in found["profiles"].items()
    ]  # fmt: skip
    first = next(iter(found["profiles"].values()))["rounds"]
    steps = [
        {"round": lap["round"], "loss": lap["loss"],
         "costs": [(one["rounds"][i]["until"], one["rounds"][i]["joules_until"]) for one in found["profiles"].values()]}
        for i, lap in enumerate(first)
        if lap["loss"] is not None
    ]  # fmt: skip
    names = short([row["name"] for row in rows])
    lines = [(name, [step["costs"][k] + (step["loss"],) for step in steps]) for k, name in enumerate(names)]
    plots = [
        plot([(name, [(point[which], point[2]) for point in some]) for name, some in lines], what)
        for which, what in enumerate(("time", "energy"))
    ]
    return {
        "rows": rows, "steps": steps, "plots": [one for one in plots if one],
        "across": any(row["total"]["across"] for row in rows),
        "forward": found["operations"]["forward"] / 1e9, "training": found["operations"]["training"] / 1e9,
    }  # fmt: skip


def short(titles: Sequence[str]) -> list[str]:
    """Titles without what was changed, for the narrow side of a plot, in order; those that are alike are numbered.

    >>> short(["lte", "lte, changed: cell.up = 3", "lte, changed: cell.up = 4"])
    ['lte', 'lte, changed', 'lte, changed 2']
    """
    cut = [title.partition(":")[0] for title in titles]
    again = [cut[:k].count(name) for k, name in enumerate(cut)]
    return [f"{name} {n + 1}" if n else name for name, n in zip(cut, again, strict=True)]


def numbers(plain: Mapping[str, Any]) -> str:
    """All numbers of a profile in a line."""
    parts = []
    for place, table in plain.items():
        if isinstance(table, Mapping):
            parts.append(f"{place}: {', '.join(f'{key} {value}' for key, value in table.items())}")
        elif place not in TEXTS:
            parts.append(f"{place} {table}")
    return "; ".join(parts)
