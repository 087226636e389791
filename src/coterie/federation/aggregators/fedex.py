"""FedEx-LoRA: Singhal, Ponkshe and Vepakomma, ACL 2025, arXiv:2410.09432. Averaged factors, their residual below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from coterie.core.adapter import Adapter, side_by_side
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.work import Task
from coterie.federation.below import summed
from coterie.federation.counted import counted
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("fedex")
@dataclass(frozen=True)
class FedEx(Aggregator):
    """Clients train the mean of the factors; the residual ``sum_k w_k b_k a_k - b a`` goes below, round upon round.

    Exact. In the paper it is added to the frozen weights. Here these stay as they are and the residual is an adapter
    that is active beside, sent whole in every round, so that a client that was away has all of it too. What is served
    is the two side by side; its rank grows up to a layer's own size.

    Attributes:
        rank: largest rank of what lies below; 0 leaves nothing out. What it left out is logged as
            ``aggregate/discarded_energy``.
    """

    rank: Annotated[int, Ge(0)] = 0

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    asks: ClassVar[str] = "below"
    down: ClassVar[str] = "r * (m + n) + min(t * (K - 1) * r, m, n) * (m + n)"

    def init(self, adapter: Adapter) -> Mapping[str, Any]:
        return {"below": None}

    def task(self, state: Mapping[str, Any], current: Adapter, rank: int | None) -> Task:
        return Task(current, beside=state["below"])

    def served(self, state: Mapping[str, Any], current: Adapter) -> Adapter:
        return current if state["below"] is None else side_by_side(current, state["below"])

    def apply(
        self, state: Mapping[str, Any], current: Adapter, replies: Replies
    ) -> tuple[Mapping[str, Any], Adapter, Mapping[str, float]]:
        adapters, weights = counted(replies)
        if not adapters:
            return state, current, {}
        mean = replies.mean()
        before = [] if state["below"] is None else [state["below"]]
        all_weights = [1.0] * len(before) + [-1.0, *weights]
        below, discarded = summed([*before, mean, *adapters], all_weights, mean.layout, self.rank)
        return {"below": below}, mean, {"aggregate/discarded_energy": discarded}
