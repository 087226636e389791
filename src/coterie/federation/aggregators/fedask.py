"""FedASK: Wen et al., 2025, arXiv:2507.09990, without its noise. The mean of the products by a sketch, in two trips.

A randomised SVD (Halko, Martinsson and Tropp, 2011, arXiv:0909.4061) whose two products are sums over clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from coterie.core.adapter import Adapter, Dense, Layout, LowRank, Part, build
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.seeds import seed_for
from coterie.core.work import Task
from coterie.federation.products import Product, at_rank
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("fedask")
@dataclass(frozen=True)
class FedAsk(Aggregator):
    """``Y_k = D_k Omega`` goes up and ``Q = orth(sum_k w_k Y_k)`` down; then ``P_k = D_k^T Q`` up, and ``D = Q P^T``.

    Both are sums over clients, so it is the mean of the products also where only sums may be seen, and at any ranks:
    exact if the sketch is as wide as the clients' ranks together. ``Omega`` is drawn anew in every round. What the
    adapter's rank could not hold of ``Q P^T`` is logged as ``aggregate/discarded_energy``.

    Attributes:
        width: of the sketch, at most a layer's own size; with less than all ranks together something is missed.
    """

    width: Annotated[int, Ge(1)] = 64

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    rewrites: ClassVar[bool] = True
    asks: ClassVar[str] = "answer"
    up: ClassVar[str] = "min(q, m, n) * (m + n)"
    down: ClassVar[str] = "r * (m + n) + min(q, m, n) * m"

    def init(self, adapter: Adapter) -> Mapping[str, Any]:
        return {"played": 0}

    def layouts(self, layout: Layout) -> tuple[Layout, ...]:
        return self._sketch(layout, "out"), self._sketch(layout, "columns")

    def task(self, state: Mapping[str, Any], current: Adapter, rank: int | None) -> Task:
        return Task(current, draw=seed_for(0, state["played"], "", "fedask"))

    def report(self, trained: Adapter, task: Task) -> Adapter:
        """``Y_k``, transposed: ``(width, out)`` of every layer."""
        rng = torch.Generator().manual_seed(task.draw)
        pieces: list[Tensor] = []
        for index, part in enumerate(trained.layout.parts):
            if not isinstance(part, LowRank):
                pieces.append(trained.dense(index))
                continue
            omega = torch.randn(part.columns, self._width(part), generator=rng, dtype=torch.float64)
            b, a = (factor.double() for factor in trained.factors(index))
            pieces.append((part.scale * b @ (a @ omega)).T)
        return build(self._sketch(trained.layout, "out"), pieces)

    def question(self, state: Mapping[str, Any], replies: Replies) -> tuple[Mapping[str, Any], Adapter | None]:
        """``Q``, transposed."""
        if replies.weight <= 0:
            return state, None
        y = replies.mean()
        pieces = [
            torch.linalg.qr(y.dense(index).double().T)[0].T if part.name.endswith(SKETCHED) else y.dense(index)
            for index, part in enumerate(y.layout.parts)
        ]
        q = build(y.layout, pieces)
        return {**state, "q": q}, q

    def answer(self, trained: Adapter, question: Adapter) -> Adapter:
        """``P_k``, transposed: ``(width, columns)``."""
        pieces: list[Tensor] = []
        for index, part in enumerate(trained.layout.parts):
            if not isinstance(part, LowRank):
                pieces.append(trained.dense(index))
                continue
            b, a = (factor.double() for factor in trained.factors(index))
            pieces.append(part.scale * (question.dense(index).double() @ b) @ a)
        return build(self._sketch(trained.layout, "columns"), pieces)

    def apply(
        self, state: Mapping[str, Any], current: Adapter, replies: Replies
    ) -> tuple[Mapping[str, Any], Adapter, Mapping[str, float]]:
        if replies.weight <= 0 or "q" not in state:
            return {"played": state["played"]}, current, {}
        p, q = replies.mean(), state["q"]

        def product(index: int, part: Part) -> Product:
            if isinstance(part, Dense):
                return p.dense(index)
            return q.dense(index).double().T, p.dense(index).double()

        adapter, discarded = at_rank(current, product)
        return {"played": state["played"] + 1}, adapter, {"aggregate/discarded_energy": discarded}

    def _width(self, part: LowRank) -> int:
        return min(self.width, part.out, part.columns)

    def _sketch(self, layout: Layout, side: str) -> Layout:
        parts = (
            Dense(f"{part.name}.{side}{SKETCHED}", (self._width(part), getattr(part, side)))
            if isinstance(part, LowRank)
            else part
            for part in layout.parts
        )
        return Layout(layout.backbone, tuple(parts))


SKETCHED = ".sketch"
