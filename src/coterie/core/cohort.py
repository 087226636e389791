"""The clients of a round as a form sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from coterie.core.links import Links
from coterie.core.replies import Half, Part, Replies
from coterie.core.site import ClientId, Facts


class Cohort(Links, Protocol):
    """The clients of one round, wherever they run."""

    def __iter__(self) -> Iterator[ClientId]: ...
    def __len__(self) -> int: ...
    @property
    def facts(self) -> Mapping[ClientId, Facts]: ...
    @property
    def everybody(self) -> Mapping[ClientId, Facts]:
        """All who are there now, whether or not they are of this cohort."""
        ...

    @property
    def seed(self) -> int:
        """The run's seed, for draws on the server."""
        ...

    async def map(self, half: Half, inputs: Mapping[ClientId, Any], part: Part | None = None) -> Replies:
        """Runs a half at every client named in ``inputs``; always crosses bytes.

        With ``part`` replies are added up as they come, in client order, and only sums and plain numbers are kept:
        for linear rules. ``groups`` must then part the clients in the same way.
        """
        ...
