"""The border of a codec, and the shelf of all codecs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from coterie.core.adapter import Layout, LowRank
from coterie.core.errors import UserError
from coterie.core.shelf import Shelf

GROUP = 64  # numbers that share a scale where nothing says which belong together


@dataclass(frozen=True)
class Known:
    """What both ends know of the numbers that a codec is given, without sending it.

    Attributes:
        layout: of the adapter whose row they are; None where they are no adapter's row.
        reference: the row that the sender was sent before, as it was decoded; None where it was sent none.
    """

    layout: Layout | None = None
    reference: Tensor | None = None

    def blocks(self, count: int) -> Tensor:
        """Lengths of runs of numbers that belong together: components of factors, rows of dense parts."""
        if self.layout is None:
            whole, rest = divmod(count, GROUP)
            return torch.tensor([GROUP] * whole + [rest] * (rest > 0), dtype=torch.long)
        lengths: list[int] = []
        for part in self.layout.parts:
            if isinstance(part, LowRank):
                lengths += [part.columns] * part.rank + [part.out] * part.rank
            elif part.size:
                lengths += [part.shape[-1]] * (part.size // part.shape[-1]) if part.shape else [1]
        return torch.tensor(lengths, dtype=torch.long)


NOTHING = Known()


class Codec(Protocol):
    """How an adapter's row is written. Labels, wishes and counts never pass through a codec: they travel exactly.

    Attributes:
        last: whether ``x`` is what travels; else the next codec of a chain is given it.
        up_only: whether it is only for what clients send back in training.
        rewrites: whether an adapter comes back with other factors of nearly the same update.
        feedback: whether what a chain with it loses is kept at the sender and added to the next message.
    """

    last: ClassVar[bool] = True
    up_only: ClassVar[bool] = False
    rewrites: ClassVar[bool] = False

    @property
    def feedback(self) -> bool:
        return False

    def encode(self, row: Tensor, known: Known = NOTHING) -> dict[str, Tensor]:
        """A float32 row ``(n,)`` as named tensors, the numbers themselves as ``x``."""
        ...

    def decode(self, coded: Mapping[str, Tensor], known: Known = NOTHING) -> Tensor:
        """The row again, float32 ``(n,)``."""
        ...

    def passed_on(self, known: Known) -> Known:
        """What is known of ``x``, for the next codec."""
        return known

    def error_bound(self, row: Tensor, known: Known = NOTHING) -> Tensor:
        """Largest ``|decode(encode(row)) - row|`` entry by entry."""
        ...


def require_finite(row: Tensor) -> None:
    """Raises ``UserError`` if a number is none."""
    if not torch.isfinite(row).all():
        raise UserError("an adapter holds a number that is not finite; it is not sent")


CODECS: Shelf[Codec] = Shelf("coterie.wire.codecs", "codec", "cast")
