"""The server step of federated averaging: McMahan et al., AISTATS 2017, arXiv:1602.05629."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Gt
from torch import Tensor

from coterie.core.rules import ServerOptimiser
from coterie.federation.shelves import OPTIMISERS


@OPTIMISERS.register("fedavg")
@dataclass(frozen=True)
class FedAvgStep(ServerOptimiser):
    """``theta <- theta + rate Delta``: at rate 1 the mean itself.

    Attributes:
        rate: share of the way from the adapter that was sent to the mean of what came back.
    """

    rate: Annotated[float, Gt(0)] = 1.0

    def step(self, state: Any, row: Tensor, change: Tensor) -> tuple[Any, Tensor]:
        return None, row + self.rate * change
