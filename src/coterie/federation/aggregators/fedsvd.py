"""FedSVD: Lee et al., NeurIPS 2025, arXiv:2505.12805. FFA-LoRA whose common ``a`` is made anew after each round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge

from coterie.core.adapter import Adapter, LowRank, build
from coterie.core.factors import only
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.work import Task
from coterie.federation.server_step import PLAIN, stepped_factor
from coterie.federation.shelves import AGGREGATORS

TOO_SMALL = 1e-8


@AGGREGATORS.register("fedsvd")
@dataclass(frozen=True)
class FedSvd(Aggregator):
    """Clients train ``b`` alone; then ``b a = U S V^T`` gives the next ``a = V^T`` and ``b = U S``.

    Exact, and what an adapter reads of a layer's input follows what was learned. The rows of ``a`` are orthonormal, so
    they are longer or shorter than those of a fresh start, and another learning rate may suit.

    Attributes:
        every: rounds between two of these.
    """

    every: Annotated[int, Ge(1)] = 1

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    rewrites: ClassVar[bool] = True
    by_factors: ClassVar[bool] = True
    asks: ClassVar[str] = "factor"
    up: ClassVar[str] = "r * m"

    def init(self, adapter: Adapter) -> Mapping[str, Any]:
        return {"played": 0}

    def task(self, state: Any, current: Adapter, rank: int | None) -> Task:
        return Task(current, train="b")

    def report(self, trained: Adapter, task: Task) -> Adapter:
        return only(trained, "b")

    def apply(
        self, state: Mapping[str, Any], current: Adapter, replies: Replies
    ) -> tuple[Mapping[str, Any], Adapter, Mapping[str, float]]:
        if replies.weight <= 0:
            return state, current, {}
        _, adapter = stepped_factor(PLAIN, None, current, "b", replies)
        played = state["played"] + 1
        return {"played": played}, adapter if played % self.every else orthonormal(adapter), {}


def orthonormal(adapter: Adapter) -> Adapter:
    """The same update with orthonormal rows of ``a``, by an SVD of the factors' small core; one that does nothing yet
    keeps its own.
    """
    pieces: list[Any] = []
    for index, part in enumerate(adapter.layout.parts):
        if not isinstance(part, LowRank):
            pieces.append(adapter.dense(index))
            continue
        b, a = (factor.double() for factor in adapter.factors(index))
        q, r = torch.linalg.qr(a.T)  # a = r^T q^T
        u, s, vt = torch.linalg.svd(b @ r.T, full_matrices=False)
        rank = len(s)
        if rank < part.rank or s[0] < TOO_SMALL:  # wider than the layer: there are no orthonormal rows
            pieces.append((b, a))
            continue
        sign = torch.sign(u.gather(0, u.abs().argmax(0, keepdim=True)))  # fixed, so that runs repeat
        pieces.append((u * sign * s, (vt @ q.T) * sign.T))
    return build(adapter.layout, pieces)
