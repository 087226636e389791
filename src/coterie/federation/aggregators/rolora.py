"""RoLoRA: Chen et al., 2024-25, arXiv:2409.02346 and arXiv:2502.01755. The two factors take turns."""

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


@AGGREGATORS.register("rolora")
@dataclass(frozen=True)
class RoLora(Aggregator):
    """``b`` is trained and averaged in odd rounds, ``a`` in even ones, the other one being common: exact in each round.

    While ``b`` is zero ``a`` has no gradient, and ``b`` is trained again. The server's optimiser has a state for each
    factor.

    Attributes:
        server: what the server makes of the mean.
    """

    server: Annotated[ServerOptimiser, OPTIMISERS] = FedAvgStep()

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    by_factors: ClassVar[bool] = True
    asks: ClassVar[str] = "factor"
    up: ClassVar[str] = "r * (n if t % 2 else m)"

    def init(self, adapter: Adapter) -> Mapping[str, Any]:
        return {"turn": 0, "a": None, "b": None}

    def task(self, state: Mapping[str, Any], current: Adapter, rank: int | None) -> Task:
        return Task(current, train=turn(state, current))

    def report(self, trained: Adapter, task: Task) -> Adapter:
        return only(trained, task.train)

    def apply(
        self, state: Mapping[str, Any], current: Adapter, replies: Replies
    ) -> tuple[Mapping[str, Any], Adapter, Mapping[str, float]]:
        if replies.weight <= 0:
            return state, current, {}
        factor = turn(state, current)
        moments, adapter = stepped_factor(self.server, state[factor], current, factor, replies)
        return {**state, "turn": state["turn"] + 1, factor: moments}, adapter, {}


def turn(state: Mapping[str, Any], current: Adapter) -> str:
    """The factor that is trained next."""
    return "a" if state["turn"] % 2 and only(current, "b").row.any() else "b"
