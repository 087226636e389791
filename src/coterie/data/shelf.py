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
        One whose clients are one person's folders says ``whose = "folders"``. A source may have ``hints()``, sentences
        about what somebody may not have meant.
        """
        ...


def holds(source: Any) -> str:
    """What a source has: ``pictures`` or ``texts``."""
    return str(getattr(source, "holds", "pictures"))


def whose(source: Any) -> str:
    """What the clients of a source are: ``people``, or the ``folders`` of one."""
    return str(getattr(source, "whose", "people"))


SOURCES: Shelf[Source] = Shelf("coterie.data.sources", "source", "studio")
