"""What a rule puts below the adapter in training: sums of updates at whatever rank they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from coterie.core.adapter import Adapter, Layout, LowRank, Part, build
from coterie.federation.products import refactor, require_same_layer

SMALL = torch.finfo(torch.float32).eps  # adapters are float32: what is smaller than this is rounding, and no direction


def summed(adapters: Sequence[Adapter], weights: Sequence[float], like: Layout, most: int = 0) -> tuple[Adapter, float]:
    """``sum_k w_k scale_k b_k a_k`` for every part, at the smallest ranks that hold it.

    Args:
        adapters: of the same layers; ranks and scales may differ.
        weights: may be negative.
        like: says layers and scales.
        most: largest rank of the result; 0 is no limit but the layer's own size.

    Returns:
        The adapter, and the share of the energy that ``most`` left out.
    """
    pieces: list[Any] = []
    parts: list[Part] = []
    kept = lost = 0.0
    for index, part in enumerate(like.parts):
        for adapter in adapters:
            require_same_layer(part, adapter, index)
        if not isinstance(part, LowRank):
            dense = [w * x.dense(index).double() for w, x in zip(weights, adapters, strict=True)]
            pieces.append(torch.stack(dense).sum(0))
            parts.append(part)
            continue
        bs, rows = [], []
        for weight, adapter in zip(weights, adapters, strict=True):
            (b, a), theirs = adapter.factors(index), adapter.layout.parts[index]
            assert isinstance(theirs, LowRank)
            bs.append(weight * theirs.scale * b.double())
            rows.append(a.double())
        stack, below = torch.cat(bs, 1), torch.cat(rows)
        rank = min(*stack.shape, below.shape[1], *([most] if most else []))
        b, a, tail, energy = refactor(stack, below, rank, below[:rank])
        lengths = b.square().sum(0)
        alive = max(1, int((lengths > lengths[0] * SMALL).sum()))
        pieces.append((b[:, :alive] / part.scale, a[:alive]))
        parts.append(replace(part, rank=alive))
        kept, lost = kept + energy - tail, lost + tail
    return build(Layout(like.backbone, tuple(parts)), pieces), lost / (kept + lost) if kept + lost > 0 else 0.0
