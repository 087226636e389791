"""Sixteen bits a number: float16 with a power-of-two scale for the row, or bfloat16."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from coterie.wire.codec import CODECS, NOTHING, Codec, Known, require_finite


@CODECS.register("cast")
@dataclass(frozen=True)
class Cast(Codec):
    """Two bytes a number.

    Attributes:
        dtype: ``fp16`` keeps 11 bits of each number, ``bf16`` keeps 8 and the range of float32.
    """

    dtype: Literal["fp16", "bf16"] = "fp16"

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        require_finite(row)
        if self.dtype == "bf16":
            return {"x": row.bfloat16()}
        # Fresh factors hold numbers near 1e-7, which float16 would lose: a power of two moves them up exactly.
        scale = _scale(row)
        return {"x": (row * scale).half(), "scale": torch.tensor(scale, dtype=torch.float32)}

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        x = coded["x"].float()
        return x / coded["scale"] if "scale" in coded else x

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        if self.dtype == "bf16":
            return row.abs() * 2.0**-8
        return row.abs() * 2.0**-11 + 2.0**-25 / _scale(row)


def _scale(row: Tensor) -> float:
    largest = float(row.abs().max()) if row.numel() else 0.0
    return 2.0 ** (14 - math.frexp(largest)[1]) if largest > 0 else 1.0
