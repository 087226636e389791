"""The shelf of sources: where captioned pictures and documents come from."""

from __future__ import annotations

from typing import Any, Protocol

from coterie.core.shelf import Shelf
from coterie.data.buckets import Cut
from coterie.data.table import Table


class Source(Protocol):
    """Settings of a source, which can read it."""

    def read(self, cut: Cut) -> Table:
        """All pictures as squares of a side or cut to buckets, with captions and text columns.

        Documents know no cut. Their source says ``holds = "texts"`` in its class; one that says nothing holds pictures.
        """
        ...


def holds(source: Any) -> str:
    """What a source has: ``pictures`` or ``texts``."""
    return str(getattr(source, "holds", "pictures"))


SOURCES: Shelf[Source] = Shelf("coterie.data.sources", "source", "studio")
