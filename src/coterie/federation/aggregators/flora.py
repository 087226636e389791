"""FLoRA: Wang et al., NeurIPS 2024, arXiv:2409.05976. Clients' factors stacked, then everybody begins anew on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from coterie.core.adapter import Adapter
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.seeds import seed_for
from coterie.core.work import Task
from coterie.federation.below import summed
from coterie.federation.counted import counted
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("flora")
@dataclass(frozen=True)
class Flora(Aggregator):
    """``[w_1 b_1 ... w_K b_K] [a_1; ...; a_K]`` is the exact mean at any ranks. It goes below; training begins anew.

    In the paper clients add the stack to their weights. Here these stay as they are and the sum of all rounds' stacks
    is an adapter that is active beside, which is sent whole in every round. Its rank grows up to a layer's own size.

    Attributes:
        rank: largest rank of what lies below; 0 leaves nothing out. What it left out is logged as
            ``aggregate/discarded_energy``.
    """

    rank: Annotated[int, Ge(0)] = 0

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    rewrites: ClassVar[bool] = True
    asks: ClassVar[str] = "below"
    down: ClassVar[str] = "r * (m + n) + min(t * K * r, m, n) * (m + n)"

    def init(self, adapter: Adapter) -> Mapping[str, Any]:
        return {"below": None, "played": 0}

    def task(self, state: Mapping[str, Any], current: Adapter, rank: int | None) -> Task:
        return Task(current, beside=state["below"])

    def served(self, state: Mapping[str, Any], current: Adapter) -> Adapter:
        below: Adapter | None = state["below"]
        return current if below is None else below  # the fresh one does nothing yet

    def apply(
        self, state: Mapping[str, Any], current: Adapter, replies: Replies
    ) -> tuple[Mapping[str, Any], Adapter, Mapping[str, float]]:
        adapters, weights = counted(replies)
        if not adapters:
            return state, current, {}
        played = state["played"] + 1
        before = [] if state["below"] is None else [state["below"]]
        below, discarded = summed(before + adapters, [1.0] * len(before) + weights, current.layout, self.rank)
        fresh = current.layout.start(seed_for(0, played, "", "flora"))
        return {"below": below, "played": played}, fresh, {"aggregate/discarded_energy": discarded}
