"""Adapters of different ranks and layers brought to one layout, so that they can stand in one bank or be averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.models.adapter_files import Shape


def aligned(adapter: Adapter, others: Sequence[Adapter], layers: Mapping[str, Shape]) -> Adapter:
    """The same adapter with every layer that any of them adapts, in the backbone's order; new ones do nothing."""
    own = {part.name: i for i, part in enumerate(adapter.layout.parts)}
    wanted = {part.name for other in others for part in other.layout.parts}
    parts, pieces = [], []
    for name, shape in layers.items():
        if name in own:
            part = adapter.layout.parts[own[name]]
            assert isinstance(part, LowRank)
            parts.append(part)
            pieces.append(adapter.factors(own[name]))
        elif name in wanted:
            parts.append(LowRank(name, shape.out, shape.columns, 1, 1.0, shape.kernel, shape.transposed))
            pieces.append((torch.zeros(shape.out, 1), torch.zeros(1, shape.columns)))
    return build(Layout(adapter.layout.backbone, tuple(parts)), pieces)


def at_rank(layout: Layout, rank: int) -> Layout:
    """The same low-rank layers, all at one rank and with a scale of one."""
    parts = [replace(p, rank=rank, scale=1.0) for p in layout.parts if isinstance(p, LowRank)]
    return Layout(layout.backbone, tuple(parts))


def side_by_side(mix: Sequence[tuple[Adapter, float]]) -> Adapter:
    """A weighted mix as one adapter, exactly: ranks beside each other, weights and scales in ``b``.

    Args:
        mix: one or more adapters of the same layers.
    """
    parts, pieces = [], []
    for index, part in enumerate(mix[0][0].layout.parts):
        assert isinstance(part, LowRank)
        scaled, rows = [], []
        for adapter, weight in mix:
            own = adapter.layout.parts[index]
            assert isinstance(own, LowRank)
            b, a = adapter.factors(index)
            scaled.append(b * (weight * own.scale))
            rows.append(a)
        pieces.append((torch.cat(scaled, 1), torch.cat(rows)))
        parts.append(replace(part, rank=len(pieces[-1][1]), scale=1.0))
    return build(Layout(mix[0][0].layout.backbone, tuple(parts)), pieces)


def largest_rank(adapter: Adapter) -> int:
    """Of its low-rank parts."""
    return max(part.rank for part in adapter.layout.parts if isinstance(part, LowRank))
