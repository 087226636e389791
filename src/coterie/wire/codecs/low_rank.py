"""An adapter at a lower rank: the closest one, by SVD of every layer (Eckart and Young, 1936)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.wire.codec import CODECS, NOTHING, Codec, Known, require_finite


@CODECS.register("low_rank")
@dataclass(frozen=True)
class LowerRank(Codec):
    """What of an adapter's update a lower rank can hold; what comes back has zeros in the components above.

    It comes back with other factors than it was trained with, so only rules that read products can take it.

    Attributes:
        rank: that travels; a layer of a lower one keeps it.
    """

    rank: Annotated[int, Ge(1)] = 2

    last: ClassVar[bool] = False
    up_only: ClassVar[bool] = True
    rewrites: ClassVar[bool] = True

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        require_finite(row)
        if known.layout is None:
            return {"x": row}
        adapter, lower = Adapter(known.layout, row), self._lower(known.layout)
        pieces: list[Any] = []
        for index, part in enumerate(lower.parts):
            if not isinstance(part, LowRank):
                pieces.append(adapter.dense(index))
                continue
            b, a = (factor.double() for factor in adapter.factors(index))
            (qb, rb), (qa, ra) = torch.linalg.qr(b), torch.linalg.qr(a.T)
            u, s, vt = torch.linalg.svd(rb @ ra.T, full_matrices=False)
            p = min(part.rank, len(s))
            left, right = qb @ u[:, :p] * s[:p].sqrt(), s[:p].sqrt()[:, None] * (vt[:p] @ qa.T)
            sign = torch.where(left.gather(0, left.abs().argmax(0, keepdim=True)) < 0, -1.0, 1.0).double()
            pieces.append(_filled(left * sign, right * sign.T, part.rank))
        return {"x": build(lower, pieces).row}

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        if known.layout is None:
            return coded["x"]
        lower = Adapter(self._lower(known.layout), coded["x"])
        pieces: list[Any] = []
        for index, part in enumerate(known.layout.parts):
            if isinstance(part, LowRank):
                pieces.append(_filled(*lower.factors(index), part.rank))
            else:
                pieces.append(lower.dense(index))
        return build(known.layout, pieces).row

    def passed_on(self, known: Known) -> Known:
        return NOTHING if known.layout is None else Known(self._lower(known.layout))

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        """Of numbers that are no adapter's; of an adapter's update see the test: its error is the SVD's tail."""
        return torch.zeros_like(row)

    def _lower(self, layout: Layout) -> Layout:
        ranks = [min(self.rank, part.rank) for part in layout.parts if isinstance(part, LowRank)]
        return layout.with_ranks(ranks)


def _filled(b: Tensor, a: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Zeros in the components that are not there."""
    more = rank - b.shape[1]
    return torch.cat([b, b.new_zeros(len(b), more)], 1), torch.cat([a, a.new_zeros(more, a.shape[1])])
