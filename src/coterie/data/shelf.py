"""The shelf of sources: where captioned pictures come from."""

from __future__ import annotations

from typing import Protocol

from coterie.core.shelf import Shelf
from coterie.data.buckets import Cut
from coterie.data.table import Table


class Source(Protocol):
    """Settings of a source, which can read it."""

    def read(self, cut: Cut) -> Table:
        """All pictures as squares of a side or cut to buckets, with captions and text columns."""
        ...


SOURCES: Shelf[Source] = Shelf("coterie.data.sources", "source", "studio")
