"""The largest numbers only: Aji and Heafield, EMNLP 2017, arXiv:1704.05021; with error feedback, arXiv:1809.07599."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, Le
from torch import Tensor

from coterie.wire.codec import CODECS, NOTHING, Codec, Known, require_finite


@CODECS.register("top_k")
@dataclass(frozen=True)
class TopK(Codec):
    """The largest share of a change's numbers and where they are; the others are not sent this time.

    Places are written as gaps: at a share of a hundredth about one byte each.

    Attributes:
        share: of the numbers, at least one.
        feedback: whether what is not sent stays at the client and is added to its next message.
    """

    share: Annotated[float, Gt(0), Le(1)] = 0.01
    feedback: bool = True

    last: ClassVar[bool] = False
    up_only: ClassVar[bool] = True

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        require_finite(row)
        places = self._largest(row)
        count = {} if known.layout is not None else {"count": torch.tensor([len(row)])}
        return {"x": row[places], "gaps": as_gaps(places), **count}

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        count = known.layout.size if known.layout is not None else int(coded["count"].item())
        places = from_gaps(coded["gaps"])
        if len(places) != len(coded["x"]) or (len(places) and not int(places[-1]) < count):
            raise ValueError(f"{len(coded['x'])} numbers at {len(places)} places of {count}")
        row = torch.zeros(count)
        row[places] = coded["x"]
        return row

    def passed_on(self, known: Known) -> Known:
        return NOTHING

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        smallest = row[self._largest(row)].abs().min() if len(row) else torch.tensor(0.0)
        return torch.minimum(row.abs(), smallest)

    def _largest(self, row: Tensor) -> Tensor:
        """Their places in order; of equal ones the first."""
        k = min(len(row), max(1, round(self.share * len(row))))
        return torch.sort(row.abs(), descending=True, stable=True).indices[:k].sort().values


def as_gaps(places: Tensor) -> Tensor:
    """Growing places as bytes: what lies between each and the one before, 255 meaning 255 and more to come.

    >>> as_gaps(torch.tensor([0, 2, 259])).tolist()
    [0, 1, 255, 1]
    """
    gaps = torch.diff(places, prepend=places.new_full((1,), -1)) - 1
    more = gaps // 255
    out = torch.full((int(len(gaps) + more.sum()),), 255, dtype=torch.uint8)
    out[torch.cumsum(more + 1, 0) - 1] = (gaps % 255).to(torch.uint8)
    return out


def from_gaps(coded: Tensor) -> Tensor:
    """The inverse of ``as_gaps``."""
    ends = torch.nonzero(coded != 255).flatten()
    return torch.cumsum(coded.long(), 0)[ends] + torch.arange(len(ends))
