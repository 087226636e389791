"""What FedAdam and FedYogi have in common: Reddi et al., ICLR 2021, arXiv:2003.00295, Algorithm 2."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from coterie.core.rules import ServerOptimiser


@dataclass(frozen=True)
class Adaptive(ServerOptimiser):
    """``m <- b1 m + (1 - b1) Delta``, ``theta <- theta + rate m / (sqrt(v) + tau)``, not corrected for its beginning.

    ``v_0 = tau^2``.

    Attributes:
        rate: of the server: about how far a number moves in a round.
        beta1: share of the first moment that is kept.
        beta2: share of the second moment that is kept.
        tau: below which changes are no longer made larger.
    """

    rate: Annotated[float, Gt(0)] = 0.01
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.99
    tau: Annotated[float, Gt(0)] = 1e-3

    remembers = True

    def step(self, state: Any, row: Tensor, change: Tensor) -> tuple[Any, Tensor]:
        m, v = (state["m"], state["v"]) if state else (torch.zeros_like(row), torch.full_like(row, self.tau**2))
        m = self.beta1 * m + (1 - self.beta1) * change
        v = self.second(v, change.square())
        return {"m": m, "v": v}, row + self.rate * m / (v.sqrt() + self.tau)

    @abstractmethod
    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """The second moment's next value, from that and the change squared."""
