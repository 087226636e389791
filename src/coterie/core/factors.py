"""One factor of an adapter as a value of its own: what travels where the other one is common to everybody."""

from __future__ import annotations

import functools

import torch

from coterie.core.adapter import Adapter, Dense, Layout, LowRank, require_same_layout

FACTORS = ("a", "b")


def only(adapter: Adapter, factor: str) -> Adapter:
    """One factor of every layer, as dense parts ``(rank, columns)`` or ``(rank, out)``; dense parts go with ``b``."""
    places = _places(adapter.layout, factor)
    return Adapter(layout_of(adapter.layout, factor), torch.cat([adapter.row[place] for place in places]))


def with_factor(whole: Adapter, factor: str, part: Adapter) -> Adapter:
    """The same adapter with one factor put in place of its own: the inverse of ``only``.

    Raises:
        UserError: if the factor belongs to other layers or to another rank.
    """
    require_same_layout(layout_of(whole.layout, factor), part.layout)
    row, done = whole.row.clone(), 0
    for place in _places(whole.layout, factor):
        size = place.stop - place.start
        row[place] = part.row[done : done + size]
        done += size
    return Adapter(whole.layout, row)


def changes_nothing(adapter: Adapter) -> bool:
    """Whether a backbone with it is the bare one: factors ``b`` and dense parts are zero throughout."""
    return not any(adapter.row[place].any() for place in _places(adapter.layout, "b"))


def is_unborn(adapter: Adapter) -> bool:
    """Whether it changes nothing yet, and has factors ``a`` that say where it would begin."""
    return any(isinstance(part, LowRank) for part in adapter.layout.parts) and changes_nothing(adapter)


@functools.lru_cache(maxsize=64)
def layout_of(layout: Layout, factor: str) -> Layout:
    """The layout of ``only``."""
    parts: list[Dense] = []
    for part in layout.parts:
        if isinstance(part, LowRank):
            parts.append(Dense(f"{part.name}.{factor}", (part.rank, part.columns if factor == "a" else part.out)))
        elif factor == "b":
            parts.append(part)
    return Layout(layout.backbone, tuple(parts))


def _places(layout: Layout, factor: str) -> list[slice]:
    places = []
    for part, offset in zip(layout.parts, layout.offsets, strict=True):
        if isinstance(part, LowRank):
            middle = offset + part.rank * part.columns
            places.append(slice(offset, middle) if factor == "a" else slice(middle, offset + part.size))
        elif factor == "b":
            places.append(slice(offset, offset + part.size))
    return places
