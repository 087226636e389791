"""The shelf of sources: where captioned pictures come from."""

from __future__ import annotations

from typing import Protocol

from coterie.core.shelf import Shelf
from coterie.data.table import Table


class Source(Protocol):
    """Settings of a source, which can read it."""

    def read(self, side: int) -> Table:
        """All pictures as squares of ``side`` pixels, with captions and text columns."""
        ...


SOURCES: Shelf[Source] = Shelf("coterie.data.sources", "source", "studio")
