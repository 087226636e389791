"""Four bits a number, a scale for each thirty-two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.wire.codec import CODECS, NOTHING, Codec, Known, require_finite
from coterie.wire.codecs.int8 import scales_of

GROUP = 32


@CODECS.register("int4")
@dataclass(frozen=True)
class Int4(Codec):
    """``q = round(x / s)`` in -7 to 7 with ``s = max |x| / 7`` of each 32 numbers in a row; two numbers in a byte.

    Attributes:
        feedback: whether what is lost stays at the client and is added to its next message.
    """

    feedback: bool = False

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        require_finite(row)
        lengths = groups(len(row))
        scales = scales_of(row, lengths, 7)
        q = torch.round(row / scales.float().repeat_interleave(lengths)).clamp(-7, 7).to(torch.int16) + 8
        if len(q) % 2:
            q = torch.cat([q, q.new_zeros(1)])
        return {"x": (q[::2] * 16 + q[1::2]).to(torch.uint8), "scale": scales, "count": torch.tensor([len(row)])}

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        packed, count = coded["x"].to(torch.int16), int(coded["count"].item())
        if not 0 <= 2 * len(packed) - count <= 1:
            raise ValueError(f"{len(packed)} bytes hold no {count} numbers of four bits")
        q = torch.stack([packed // 16, packed % 16], 1).flatten()[:count] - 8
        return q.float() * coded["scale"].float().repeat_interleave(groups(count))

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        lengths = groups(len(row))
        return scales_of(row, lengths, 7).float().repeat_interleave(lengths) * (0.5 + 2.0**-16)


def groups(count: int) -> Tensor:
    """Lengths of the groups of so many numbers, ``GROUP`` but for the last."""
    whole, rest = divmod(count, GROUP)
    return torch.tensor([GROUP] * whole + [rest] * (rest > 0), dtype=torch.long)
