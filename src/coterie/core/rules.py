"""What makes one adapter of many replies, and the next one of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor

from coterie.core.adapter import Adapter, Layout
from coterie.core.replies import Replies
from coterie.core.work import Task


class Aggregator(Protocol):
    """A rule that makes one adapter out of many, and what it asks of clients for that.

    Attributes:
        exact: whether what is served is the weighted mean of the effective updates, up to the chosen rank.
        mixed_ranks: whether the replies may have different ranks.
        linear: whether only sums of replies are read, so that it also works sealed.
        by_factors: whether it reads single factors, so that the same updates written with other factors come to
            something else.
        rewrites: whether what it makes has other factors than those that came, so that numbers that somebody
            remembers of single factors mean nothing in the next round.
        by_examples: whether clients count by their examples.
        asks: what it asks of clients beyond training both factors: ``factor`` (one of the two stays as it is),
            ``below`` (an adapter beside the one in training is active and frozen), ``slices`` (a smaller rank is the
            first components), ``answer`` (a second exchange); empty if nothing.
        up: numbers that a client sends for a layer of ``m`` outputs and ``n`` inputs at rank ``r``.
        down: numbers that it is sent, with ``K`` clients in a round and ``t`` rounds behind.
    """

    exact: ClassVar[bool]
    mixed_ranks: ClassVar[bool]
    linear: ClassVar[bool]
    by_factors: ClassVar[bool] = False
    rewrites: ClassVar[bool] = False
    by_examples: ClassVar[bool] = True
    asks: ClassVar[str] = ""
    up: ClassVar[str] = "r * (m + n)"
    down: ClassVar[str] = "r * (m + n)"

    def init(self, adapter: Adapter) -> Any: ...
    def apply(self, state: Any, current: Adapter, replies: Replies) -> tuple[Any, Adapter, Mapping[str, float]]:
        """The new state, the new adapter, and numbers for the journal."""
        ...

    def task(self, state: Any, current: Adapter, rank: int | None) -> Task:
        """What a client is to train, on the server; ``rank`` is the largest it can, None if that of the adapter."""
        return Task(current)

    def report(self, trained: Adapter, task: Task) -> Adapter:
        """What of the trained adapter is sent, at the client."""
        return trained

    def question(self, state: Any, replies: Replies) -> tuple[Any, Any]:
        """The next state, and what those who replied are asked once more, or None; ``apply`` then gets the answers."""
        return state, None

    def answer(self, trained: Adapter, question: Any) -> Adapter:
        """The answer to that, at the client."""
        return trained

    def layouts(self, layout: Layout) -> tuple[Layout, ...]:
        """Of what is sent, where those of a run and of one factor are not all."""
        return ()

    def served(self, state: Any, current: Adapter) -> Adapter:
        """All that is active when somebody draws."""
        return current


class ServerOptimiser(Protocol):
    """What the server makes of a round's mean: ``Delta = mean - theta`` is taken as a gradient is, number by number.

    Attributes:
        remembers: whether it keeps moments of single numbers from round to round. They mean nothing any more once
            something else writes the same update with other factors.
    """

    remembers: ClassVar[bool] = False

    def step(self, state: Any, row: Tensor, change: Tensor) -> tuple[Any, Tensor]:
        """The next state and row ``(n,)``, float64; the state is None before the first step."""
        ...
