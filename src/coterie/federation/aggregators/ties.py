"""TIES: Yadav et al., NeurIPS 2023, arXiv:2306.01708. Trim, elect a sign, average what agrees with it.

On effective updates ``scale b a``, layer by layer, and brought back to the current adapter's rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, Le
from torch import Tensor

from coterie.core.adapter import Adapter, Dense, LowRank, Part
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.federation.products import Product, at_rank, require_same_layer
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("ties")
@dataclass(frozen=True)
class Ties(Aggregator):
    """For adapters that pull numbers in opposite ways: where they disagree, the weaker side does not count.

    Forms every layer's dense update. Its rank is higher than the adapters' together, so more is lost than by
    ``product_svd``; the lost share is logged as ``aggregate/discarded_energy``.

    Attributes:
        density: share of each update's numbers that is kept, the largest ones; 1 trims nothing.
    """

    density: Annotated[float, Gt(0), Le(1)] = 0.5

    exact: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    rewrites: ClassVar[bool] = True

    def init(self, adapter: Adapter) -> None:
        return None

    def apply(self, state: None, current: Adapter, replies: Replies) -> tuple[None, Adapter, Mapping[str, float]]:
        updates = [update for _, update in replies.items() if update.weight > 0]
        if not updates:
            return None, current, {}
        weights = [update.weight for update in updates]

        def product(index: int, part: Part) -> Product:
            for update in updates:
                require_same_layer(part, update.adapter, index)
            merged = elected_mean([trimmed(dense(u.adapter, index), self.density) for u in updates], weights)
            if isinstance(part, Dense):
                return merged
            # The dense update times the identity, on whichever side is smaller.
            eye = torch.eye(min(merged.shape), dtype=merged.dtype)
            return (merged, eye) if merged.shape[1] <= merged.shape[0] else (eye, merged)

        adapter, discarded = at_rank(current, product)
        return None, adapter, {"aggregate/discarded_energy": discarded}


def dense(adapter: Adapter, index: int) -> Tensor:
    """A part's effective update, float64."""
    part = adapter.layout.parts[index]
    if not isinstance(part, LowRank):
        return adapter.dense(index).double()
    b, a = adapter.factors(index)
    return part.scale * b.double() @ a.double()


def trimmed(update: Tensor, density: float) -> Tensor:
    """The largest ``density`` of an update's numbers by size, the others zero."""
    keep = max(1, round(density * update.numel()))
    if keep >= update.numel():
        return update
    line = update.abs().flatten().kthvalue(update.numel() - keep + 1).values
    return torch.where(update.abs() >= line, update, 0.0)


def elected_mean(updates: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Each number's mean over the updates that have the sign with more weight behind it.

    >>> elected_mean([torch.tensor([1.0, 3.0]), torch.tensor([2.0, -1.0])], [1.0, 1.0]).tolist()
    [1.5, 3.0]
    """
    stack = torch.stack(list(updates))
    shares = torch.tensor(list(weights), dtype=stack.dtype).view(-1, *[1] * (stack.dim() - 1))
    agrees = torch.sign(stack) == torch.sign((shares * stack).sum(0))
    counted = shares * (agrees & (stack != 0))
    return (counted * stack).sum(0) / counted.sum(0).clamp_min(torch.finfo(stack.dtype).tiny)
