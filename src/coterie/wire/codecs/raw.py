"""Float32 as it is: exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.wire.codec import CODECS


@CODECS.register("raw")
@dataclass(frozen=True)
class Raw:
    """Four bytes a number, no loss."""

    def encode(self, row: Tensor) -> dict[str, Tensor]:
        return {"x": row}

    def decode(self, coded: Mapping[str, Tensor]) -> Tensor:
        return coded["x"].float()

    def error_bound(self, row: Tensor) -> Tensor:
        return torch.zeros_like(row)
