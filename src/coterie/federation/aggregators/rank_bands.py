"""Rank bands, for clients with different ranks: Wu, Hu, Min and Wang, raFLoRA, 2026, arXiv:2602.13486 (whose equations
were not at hand; our reading), then brought to one rank as by ``product_svd``.

Where weights do not know of ranks, what lies above the smallest rank is averaged with clients that have nothing there,
and fades from round to round. Here every band of ranks is averaged over those who have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from coterie.core.adapter import Adapter, Dense, LowRank, Part
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.federation.counted import counted
from coterie.federation.products import Product, at_rank, refactor, require_same_layer
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("rank_bands")
@dataclass(frozen=True)
class RankBands(Aggregator):
    """For clients with different ranks: what only strong clients can hold is averaged over strong clients only.

    With ranks ``rho_1 < ... < rho_H`` among the replies, band ``h`` is the components from ``rho_{h-1} + 1`` to
    ``rho_h`` of each client's update, ordered by singular value, and
    ``D = sum_h sum_{k: r_k >= rho_h} w_k / (sum_{j: r_j >= rho_h} w_j) * scale_k b_k[:, band h] a_k[band h]``.
    At equal ranks that is ``product_svd``. At others it is not the mean of the updates, and is not meant to be: a
    component that a client cannot hold counts as absent there, not as zero. What the current adapter's rank could not
    hold is logged as ``aggregate/discarded_energy``.
    """

    exact: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    rewrites: ClassVar[bool] = True

    def init(self, adapter: Adapter) -> None:
        return None

    def apply(self, state: None, current: Adapter, replies: Replies) -> tuple[None, Adapter, Mapping[str, float]]:
        adapters, weights = counted(replies)
        if not adapters:
            return None, current, {}

        def product(index: int, part: Part) -> Product:
            for adapter in adapters:
                require_same_layer(part, adapter, index)
            if isinstance(part, Dense):
                dense = [w * x.dense(index).double() for w, x in zip(weights, adapters, strict=True)]
                return torch.stack(dense).sum(0)
            ordered = [by_singular_value(adapter, index) for adapter in adapters]
            shares = band_weights([b.shape[1] for b, _ in ordered], weights)
            bs = torch.cat([b * share for (b, _), share in zip(ordered, shares, strict=True)], 1)
            return bs, torch.cat([a for _, a in ordered])

        adapter, discarded = at_rank(current, product)
        return None, adapter, {"aggregate/discarded_energy": discarded}


def by_singular_value(adapter: Adapter, index: int) -> tuple[Tensor, Tensor]:
    """A part's effective update ``b @ a`` in float64, its components in falling order of singular value."""
    part = adapter.layout.parts[index]
    assert isinstance(part, LowRank)
    b, a = adapter.factors(index)
    b, a, _tail, _energy = refactor(part.scale * b.double(), a.double(), part.rank, a.double())
    return b, a


def band_weights(ranks: Sequence[int], weights: Sequence[float]) -> list[Tensor]:
    """Each client's weight for each of its components: its share among those who have that component's whole band.

    >>> [w.tolist() for w in band_weights([1, 3], [0.5, 0.5])]
    [[0.5], [0.5, 1.0, 1.0]]
    """
    shares = [torch.zeros(rank, dtype=torch.float64) for rank in ranks]
    below = 0
    for top in sorted(set(ranks)):
        holders = [k for k, rank in enumerate(ranks) if rank >= top]
        together = sum(weights[k] for k in holders)
        for k in holders:
            shares[k][below:top] = weights[k] / together
        below = top
    return shares
