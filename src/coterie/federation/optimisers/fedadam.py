"""FedAdam: Reddi et al., Adaptive Federated Optimization, ICLR 2021, arXiv:2003.00295, Algorithm 2."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from coterie.federation.adaptive import Adaptive
from coterie.federation.shelves import OPTIMISERS


@OPTIMISERS.register("fedadam")
@dataclass(frozen=True)
class FedAdam(Adaptive):
    """``v <- b2 v + (1 - b2) Delta^2``."""

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        return self.beta2 * v + (1 - self.beta2) * square
