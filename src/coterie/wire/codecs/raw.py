"""Float32 as it is: exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.wire.codec import CODECS, NOTHING, Codec, Known


@CODECS.register("raw")
@dataclass(frozen=True)
class Raw(Codec):
    """Four bytes a number, no loss."""

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        return {"x": row}

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        return coded["x"].float()

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        return torch.zeros_like(row)
