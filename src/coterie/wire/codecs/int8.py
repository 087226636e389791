"""Eight bits a number, a scale for each row of a factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.wire.codec import CODECS, NOTHING, Codec, Known, require_finite

TINY = 1e-30  # a row of smaller numbers is written as zeros: its scale would have too few bits


@CODECS.register("int8")
@dataclass(frozen=True)
class Int8(Codec):
    """``q = round(x / s)`` in -127 to 127 with ``s = max |x| / 127`` of each row, two bytes a scale.

    A row is a component of ``a`` or of ``b``, or a row of a dense part; where numbers belong to no adapter, 64 of them.
    """

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        require_finite(row)
        lengths = known.blocks(len(row))
        scales = scales_of(row, lengths, 127)
        q = torch.round(row / scales.float().repeat_interleave(lengths)).clamp(-127, 127)
        return {"x": q.to(torch.int8), "scale": scales}

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        x = coded["x"].float()
        return x * coded["scale"].float().repeat_interleave(known.blocks(len(x)))

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        lengths = known.blocks(len(row))
        return scales_of(row, lengths, 127).float().repeat_interleave(lengths) * (0.5 + 2.0**-16)


def scales_of(row: Tensor, lengths: Tensor, levels: int) -> Tensor:
    """``max |x| / levels`` of each run of numbers, rounded to bfloat16 before it is used; 1 where there is nothing."""
    owner = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    largest = torch.zeros(len(lengths)).scatter_reduce_(0, owner, row.abs(), "amax")
    return torch.where(largest > TINY, largest / levels, 1.0).bfloat16()
