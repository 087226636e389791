"""The change against what was received: what a training leaves as it was need not travel again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from coterie.wire.codec import CODECS, NOTHING, Codec, Known


@CODECS.register("delta")
@dataclass(frozen=True)
class Delta(Codec):
    """``x - x_ref``, where ``x_ref`` is the adapter of the same exchange's request, as the client decoded it.

    Where the request held several, the nearest is meant and its number is sent. It is no shorter by itself: changes are
    smaller than adapters, so that the codecs after it lose less.
    """

    last: ClassVar[bool] = False
    up_only: ClassVar[bool] = True

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        return {"x": row if known.reference is None else row - known.reference}

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        return coded["x"] if known.reference is None else coded["x"] + known.reference

    def passed_on(self, known: Known) -> Known:
        return replace(known, reference=None)

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        if known.reference is None:
            return torch.zeros_like(row)
        return (row.abs() + 2 * known.reference.abs()) * 2.0**-23
