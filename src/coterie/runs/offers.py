"""All that a recipe or a command can name, shelf by shelf: for ``coterie list`` and for the reference."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from coterie.air.profiles import profiles
from coterie.air.shelves import LINKS, PATH_LOSSES
from coterie.core.shelf import Shelf
from coterie.data.shelf import SOURCES
from coterie.federation.shelves import (
    AGGREGATORS,
    FORMS,
    GROUPINGS,
    INTERACTIONS,
    KEEPINGS,
    OPTIMISERS,
    ORDERS,
    SPLITS,
)
from coterie.models.shelves import BACKBONES, FAMILIES, LAYOUTS, METHODS
from coterie.runs.sink import SINKS
from coterie.wire.codec import CODECS

HEAD = """# Shelves

Made of the code; `coterie list WHAT` prints the same. Everything here is one file and a registration, and other
packages can add to each shelf by an entry point of the group that stands beside its name. What each thing's own keys
are is in [the recipe](recipe.md).
"""


class Shown(NamedTuple):
    """A shelf, and where its things are named."""

    shelf: Shelf[Any]
    key: str


SHELVES: dict[str, Shown] = {
    "forms": Shown(FORMS, "form"),
    "aggregators": Shown(AGGREGATORS, "form.aggregator"),
    "optimisers": Shown(OPTIMISERS, "form.aggregator.server"),
    "groupings": Shown(GROUPINGS, "form.grouping"),
    "splits": Shown(SPLITS, "form.grouping.split"),
    "interactions": Shown(INTERACTIONS, "form.interaction"),
    "keepings": Shown(KEEPINGS, "form.keeping"),
    "orders": Shown(ORDERS, "form.order"),
    "codecs": Shown(CODECS, "codec, uplink"),
    "methods": Shown(METHODS, "method"),
    "backbones": Shown(BACKBONES, "backbone"),
    "families": Shown(FAMILIES, "backbone, of diffusers' pipelines"),
    "sources": Shown(SOURCES, "data.source"),
    "layouts": Shown(LAYOUTS, "coterie export --format"),
    "sinks": Shown(SINKS, "sinks"),
    "links": Shown(LINKS, "cell, device, backhaul of a profile of the air"),
    "path-losses": Shown(PATH_LOSSES, "path_loss of the link radio"),
}
"""By what ``coterie list`` calls it."""

KINDS = [*SHELVES, "profiles"]
"""All words that ``coterie list`` knows."""


def offered(kind: str) -> list[dict[str, str]]:
    """The things of one kind, a row each: ``name``, ``about`` in a sentence, and what a reader compares them by."""
    if kind == "profiles":
        return [{"name": name, "about": one["about"]} for name, one in profiles().items()]
    shelf = SHELVES[kind].shelf
    rows = []
    for name in shelf.names():
        thing = shelf[name]
        usual = "yes" if name == shelf.default else ""
        rows.append({"name": name, "default": usual, **_traits(kind, thing), "about": sentence(thing)})
    return rows


def counts() -> list[dict[str, Any]]:
    """Every kind, how many there are, and where one is named."""
    rows: list[dict[str, Any]] = [
        {"what": kind, "things": len(shown.shelf.names()), "named in": shown.key} for kind, shown in SHELVES.items()
    ]
    return [*rows, {"what": "profiles", "things": len(profiles()), "named in": "coterie air --profile"}]


def sentence(thing: type[Any]) -> str:
    """The first sentence of what a class says about itself, without marks."""
    paragraph = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    return re.split(r"\.(?: (?=[A-Z])|$)", paragraph, maxsplit=1)[0].replace("``", "")


def shelves_page() -> str:
    """The whole page, in Markdown."""
    page = HEAD
    for kind, shown in SHELVES.items():
        rows = offered(kind)
        page += f"\n## {kind}\n\n`{shown.key}`, group `{shown.shelf.package}`\n\n{_table(rows)}"
    return page


def _table(rows: Sequence[dict[str, str]]) -> str:
    columns = [key for key in rows[0] if any(row[key] for row in rows)]
    text = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    for row in rows:
        cells = [f"`{row[key]}`" if key == "name" else row[key].replace("|", "\\|") for key in columns]
        text += f"| {' | '.join(cells)} |\n"
    return text


def _traits(kind: str, thing: type[Any]) -> dict[str, str]:
    """What a kind's things are compared by, as its other tables say it."""
    if kind == "forms":
        parts = ("grouping", "aggregator", "interaction", "keeping", "order")
        has = {field.name for field in fields(thing)}
        sealed = "no" if getattr(thing, "needs_single_replies", False) else "yes"
        return {"takes": ", ".join(part for part in parts if part in has), "sealed": sealed}
    if kind == "aggregators":
        marks = {"exact": thing.exact, "mixed ranks": thing.mixed_ranks, "linear": thing.linear}
        return {key: "yes" if mark else "no" for key, mark in marks.items()}
    if kind == "codecs":
        return {"on": "uplink" if thing.up_only else "codec, uplink"}
    return {}
