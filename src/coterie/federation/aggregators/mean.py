"""The factor average: McMahan et al., arXiv:1602.05629, on LoRA factors as in FedIT, arXiv:2305.05644."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from coterie.core.adapter import Adapter
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator, ServerOptimiser
from coterie.federation.optimisers.fedavg import FedAvgStep
from coterie.federation.server_step import as_sent, stepped
from coterie.federation.shelves import AGGREGATORS, OPTIMISERS


@AGGREGATORS.register("mean")
@dataclass(frozen=True)
class Mean(Aggregator):
    """Averages ``a`` and ``b`` apart, weighted by examples. Cheap and linear; not the mean of the products.

    Attributes:
        server: what the server makes of the mean.
    """

    server: Annotated[ServerOptimiser, OPTIMISERS] = FedAvgStep()

    exact: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    by_factors: ClassVar[bool] = True

    def init(self, adapter: Adapter) -> None:
        return None

    def apply(self, state: Any, current: Adapter, replies: Replies) -> tuple[Any, Adapter, Mapping[str, float]]:
        if replies.weight <= 0:  # nobody has an example: nothing was learned, nothing changes
            return state, current, {}
        mean = replies.mean()
        return *stepped(self.server, state, as_sent(current, mean.layout), mean), {}
