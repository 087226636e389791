"""HetLoRA: Cho et al., EMNLP 2024, arXiv:2401.06432. Smaller ranks are filled up with zeros, factors averaged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from coterie.core.adapter import Adapter, Layout, LowRank, build, weighted_sum
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.work import Task
from coterie.federation.counted import counted
from coterie.federation.groupings.weights import product
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("hetlora")
@dataclass(frozen=True)
class HetLora(Aggregator):
    """Each client trains the first components that it can hold, and counts by how large its update is, ``|D_k|``.

    Neither exact nor blind to factors: what it comes to depends on the order of components, and who has a large update,
    for whatever reason, counts most. That share is logged as ``aggregate/largest_share``. The paper's pruning of ranks
    at the client is left out; ranks are those of ``devices.ranks``.
    """

    exact: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    by_factors: ClassVar[bool] = True
    by_examples: ClassVar[bool] = False
    asks: ClassVar[str] = "slices"

    def init(self, adapter: Adapter) -> None:
        return None

    def task(self, state: None, current: Adapter, rank: int | None) -> Task:
        return Task(current if rank is None else at_ranks(current, current.layout.with_rank(rank)))

    def apply(self, state: None, current: Adapter, replies: Replies) -> tuple[None, Adapter, Mapping[str, float]]:
        adapters, _ = counted(replies)
        if not adapters:
            return None, current, {}
        norms = [math.sqrt(max(0.0, product(adapter, adapter))) for adapter in adapters]
        total = sum(norms)
        shares = [norm / total for norm in norms] if total else [1 / len(norms)] * len(norms)
        mean = weighted_sum([at_ranks(adapter, current.layout) for adapter in adapters], shares)
        return None, mean, {"aggregate/largest_share": max(shares)}


def at_ranks(adapter: Adapter, layout: Layout) -> Adapter:
    """The first components of every layer that a layout has room for, zeros after them where it has more."""
    pieces: list[Any] = []
    for index, part in enumerate(layout.parts):
        if not isinstance(part, LowRank):
            pieces.append(adapter.dense(index))
            continue
        b, a = adapter.factors(index)
        more = max(0, part.rank - b.shape[1])
        b, a = b[:, : part.rank], a[: part.rank]
        pieces.append((torch.cat([b, b.new_zeros(len(b), more)], 1), torch.cat([a, a.new_zeros(more, a.shape[1])])))
    return build(layout, pieces)
