"""What clients of a round send back, as forms and rules read it, and what they were asked to run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from coterie.core.adapter import Adapter
from coterie.core.site import ClientId, Site
from coterie.core.update import Update

Half = Callable[[Site, Any], Awaitable[Any]]
Part = Callable[[ClientId, Update], str]
"""Which sum a client's update belongs to, by name."""


class Replies(Protocol):
    """What came back, in client order. In a sealed run only ``weight`` and ``mean`` may be read."""

    def __iter__(self) -> Iterator[ClientId]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, client: ClientId) -> Any: ...
    def items(self) -> Sequence[tuple[ClientId, Any]]: ...
    @property
    def failures(self) -> Mapping[ClientId, str]: ...
    @property
    def sealed(self) -> bool: ...
    @property
    def numbers(self) -> Mapping[ClientId, Mapping[str, float]]:
        """Plain numbers of each reply, by client."""
        ...

    @property
    def weight(self) -> float: ...
    def mean(self) -> Adapter:
        """Weighted mean of the replies' adapters, factor by factor."""
        ...

    def pick(self, name: str) -> Replies:
        """One entry of replies that are mappings."""
        ...

    def groups(self, by: Mapping[ClientId, str]) -> Mapping[str, Replies]:
        """The replies of each group, groups in order of their names; empty groups are absent."""
        ...
