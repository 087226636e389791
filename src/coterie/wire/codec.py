"""The border of a codec, and the shelf of all codecs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from coterie.core.shelf import Shelf


class Codec(Protocol):
    """How an adapter's row is written. Labels, wishes and counts never pass through a codec: they travel exactly."""

    def encode(self, row: Tensor) -> dict[str, Tensor]:
        """A float32 row ``(n,)`` as named tensors."""
        ...

    def decode(self, coded: Mapping[str, Tensor]) -> Tensor:
        """The row again, float32 ``(n,)``."""
        ...

    def error_bound(self, row: Tensor) -> Tensor:
        """Largest ``|decode(encode(row)) - row|`` entry by entry."""
        ...


CODECS: Shelf[Codec] = Shelf("coterie.wire.codecs", "codec", "cast")
