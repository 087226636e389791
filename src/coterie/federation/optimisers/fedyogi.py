"""FedYogi: Reddi et al., Adaptive Federated Optimization, ICLR 2021, arXiv:2003.00295, Algorithm 2."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.federation.adaptive import Adaptive
from coterie.federation.shelves import OPTIMISERS


@OPTIMISERS.register("fedyogi")
@dataclass(frozen=True)
class FedYogi(Adaptive):
    """``v <- v - (1 - b2) Delta^2 sign(v - Delta^2)``: of what ``v`` is, large changes do not make it forget."""

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        return v - (1 - self.beta2) * square * torch.sign(v - square)
