"""FFA-LoRA: Sun, Li, Li and Ding, ICLR 2024, arXiv:2403.12313. ``a`` is frozen and common, ``b`` averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from coterie.core.adapter import Adapter
from coterie.core.factors import only
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator, ServerOptimiser
from coterie.core.work import Task
from coterie.federation.optimisers.fedavg import FedAvgStep
from coterie.federation.server_step import stepped_factor
from coterie.federation.shelves import AGGREGATORS, OPTIMISERS


@AGGREGATORS.register("ffa")
@dataclass(frozen=True)
class Ffa(Aggregator):
    """Exact and linear, and only ``b`` is sent back: ``sum_k w_k b_k a = (sum_k w_k b_k) a``.

    What an adapter reads of a layer's input is fixed by the common start; a higher rank makes up for that.

    Attributes:
        server: what the server makes of the mean.
    """

    server: Annotated[ServerOptimiser, OPTIMISERS] = FedAvgStep()

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    by_factors: ClassVar[bool] = True
    asks: ClassVar[str] = "factor"
    up: ClassVar[str] = "r * m"

    def init(self, adapter: Adapter) -> None:
        return None

    def task(self, state: Any, current: Adapter, rank: int | None) -> Task:
        return Task(current, train="b")

    def report(self, trained: Adapter, task: Task) -> Adapter:
        return only(trained, "b")

    def apply(self, state: Any, current: Adapter, replies: Replies) -> tuple[Any, Adapter, Mapping[str, float]]:
        if replies.weight <= 0:
            return state, current, {}
        return *stepped_factor(self.server, state, current, "b", replies), {}
