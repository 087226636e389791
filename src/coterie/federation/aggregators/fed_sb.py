"""Fed-SB: Singhal et al., 2025, arXiv:2502.15436. Two factors are frozen, what stands between is averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from coterie.core.adapter import Adapter, Dense, Layout, LowRank, build
from coterie.core.factors import only
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.work import Task
from coterie.federation.aggregators.fedsvd import orthonormal
from coterie.federation.server_step import PLAIN, stepped_factor
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("fed_sb")
@dataclass(frozen=True)
class FedSb(Aggregator):
    """``D = B R A``: ``r x r`` numbers a layer are trained and sent, whatever the layer's size, and averaged exactly.

    ``B`` and ``A`` should span what a first step of full training would do, which the paper estimates on data of its
    own. Here the first round trains ``b`` over the common ``a``, and the SVD of its mean gives them. Then they stay;
    choose a higher rank than for others, for nothing outside of them can be learned.
    """

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    by_factors: ClassVar[bool] = True
    asks: ClassVar[str] = "factor"
    up: ClassVar[str] = "r * r if t else r * m"
    down: ClassVar[str] = "r * (m + n) + (r * m if t else 0)"

    def init(self, adapter: Adapter) -> Mapping[str, Any]:
        return {"basis": None}

    def layouts(self, layout: Layout) -> tuple[Layout, ...]:
        return (core_layout(layout),)

    def task(self, state: Mapping[str, Any], current: Adapter, rank: int | None) -> Task:
        return Task(current, train="b", within=state["basis"])

    def report(self, trained: Adapter, task: Task) -> Adapter:
        if task.within is None:
            return only(trained, "b")
        pieces: list[Tensor] = []
        for index, part in enumerate(trained.layout.parts):
            if isinstance(part, LowRank):
                pieces.append(task.within.dense(index).double() @ trained.factors(index)[0].double())
            else:
                pieces.append(trained.dense(index))
        return build(core_layout(trained.layout), pieces)

    def apply(
        self, state: Mapping[str, Any], current: Adapter, replies: Replies
    ) -> tuple[Mapping[str, Any], Adapter, Mapping[str, float]]:
        if replies.weight <= 0:
            return state, current, {}
        basis = state["basis"]
        if basis is None:
            adapter = orthonormal(stepped_factor(PLAIN, None, current, "b", replies)[1])
            return {"basis": only(unit(adapter), "b")}, adapter, {}
        core, pieces = replies.mean(), list[Any]()
        for index, part in enumerate(current.layout.parts):
            if isinstance(part, LowRank):
                b = basis.dense(index).double().T @ core.dense(index).double()
                pieces.append((b, current.factors(index)[1]))
            else:
                pieces.append(core.dense(index))
        return state, build(current.layout, pieces), {}


def unit(adapter: Adapter) -> Adapter:
    """The same with orthonormal columns of ``b`` that span what they spanned; zeros where a layer has fewer outputs."""
    pieces: list[Any] = []
    for index, part in enumerate(adapter.layout.parts):
        if isinstance(part, LowRank):
            b, a = adapter.factors(index)
            q = torch.linalg.qr(b.double())[0]
            pieces.append((torch.cat([q, q.new_zeros(len(q), part.rank - q.shape[1])], 1), a))
        else:
            pieces.append(adapter.dense(index))
    return build(adapter.layout, pieces)


def core_layout(layout: Layout) -> Layout:
    """``R (rank, rank)`` of every layer."""
    parts = (Dense(f"{p.name}.core", (p.rank, p.rank)) if isinstance(p, LowRank) else p for p in layout.parts)
    return Layout(layout.backbone, tuple(parts))
