"""FedAvgM: Hsu, Qi and Brown, 2019, arXiv:1909.06335. Momentum on the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from torch import Tensor

from coterie.core.rules import ServerOptimiser
from coterie.federation.shelves import OPTIMISERS


@OPTIMISERS.register("fedavgm")
@dataclass(frozen=True)
class FedAvgM(ServerOptimiser):
    """``m <- beta m + Delta``, ``theta <- theta + rate m``.

    Attributes:
        rate: of the server. With ``beta`` 0.9 a steady change adds up to ten times itself, so it may have to be small.
        beta: share of the momentum that is kept; 0 is ``fedavg``.
    """

    rate: Annotated[float, Gt(0)] = 1.0
    beta: Annotated[float, Ge(0), Lt(1)] = 0.9

    remembers = True

    def step(self, state: Any, row: Tensor, change: Tensor) -> tuple[Any, Tensor]:
        m = change if state is None else self.beta * state["m"] + change
        return {"m": m}, row + self.rate * m
