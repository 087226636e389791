"""The borders between an algorithm and where it runs, each of a few members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from coterie.core.adapter import Adapter, Layout
from coterie.core.links import Links
from coterie.core.split import ClientSide
from coterie.core.update import Update
from coterie.core.work import Fit, Fitted, Task

ClientId = str


@dataclass(frozen=True)
class Facts:
    """What a client declares once, at enrolment, and what a simulation knows besides.

    Attributes:
        num_examples: training examples.
        truth: the group that the client really belongs to; only a simulation of labelled data has it, and only the
            grouping ``oracle`` and the evaluation read it.
        rank: largest that the client can train; None is that of the method.
        place: metres east and north of the base station; None where nobody knows.
    """

    num_examples: int
    truth: str | None = None
    rank: int | None = None
    place: tuple[float, float] | None = None


class Site(Protocol):
    """A client's own side: all that a client half may touch."""

    @property
    def client(self) -> ClientId: ...
    @property
    def num_examples(self) -> int: ...
    @property
    def memory(self) -> MutableMapping[str, Any]:
        """What the client remembers from round to round: a tree that an envelope can hold."""
        ...

    async def fit(self, start: Adapter, fit: Fit) -> Fitted:
        """Local training from ``start`` on this client's own examples."""
        ...

    @property
    def side(self) -> ClientSide:
        """The client's side of a split model; what it holds between messages is gone with the round."""
        ...

    async def evaluate(self, adapter: Adapter | None, test: str) -> Tensor:
        """Held-out losses on one of the site's test sets, ``(examples, levels)``; None is the bare backbone.

        What an example is, the backbone says: a picture, or so many tokens of text, which know one level.
        """
        ...

    async def score(self, adapters: Sequence[Adapter], levels: int) -> Tensor:
        """Mean loss of the client's own training examples under each adapter, ``(adapters,)``.

        Every example is scored at so many noise levels, with the same noise for every adapter and in every round.
        """
        ...

    async def sample(self, prompts: Sequence[str], adapter: Adapter | None, seed: int) -> NDArray[np.uint8]:
        """One picture a prompt, ``(n, side, side, 3)``; the same seed starts each prompt the same way every time."""
        ...

    async def write(self, prompts: Sequence[str], adapter: Adapter | None, seed: int) -> Sequence[str]:
        """How each prompt goes on, where the backbone makes texts; the same seed writes the same every time."""
        ...

    def keep(self, name: str, adapter: Adapter) -> None:
        """Writes an adapter into the site's folder, for the person to use."""
        ...

    def kept(self, name: str) -> Adapter | None:
        """An adapter that was kept, or None."""
        ...

    def keep_pictures(self, name: str, pixels: NDArray[Any], captions: Sequence[str] = ()) -> None:
        """Writes pictures into the site's folder, and beside them what they show if that is given."""
        ...

    def keep_texts(self, name: str, texts: Sequence[tuple[str, str]]) -> None:
        """Writes texts into the site's folder, each with the prompt that it goes on from."""
        ...

    @property
    def prompts(self) -> Sequence[str]:
        """What this client's pictures are drawn of, where it is not what everybody draws."""
        ...

    @property
    def train_pixels(self) -> NDArray[Any]:
        """Training pictures, ``(n, side, side, 3)``, or ``(n,)`` where they were not cut square."""
        ...

    @property
    def train_captions(self) -> Sequence[str]:
        """What training pictures show, or the training documents."""
        ...

    @property
    def tests(self) -> Collection[str]:
        """Names of the sets of examples that this client can be scored on."""
        ...

    def units(self, test: str) -> Mapping[str, int]:
        """How many ``tokens``, ``words`` and ``characters`` a test set holds; empty where examples are pictures."""
        ...

    @property
    def held_out_pixels(self) -> NDArray[Any]: ...
    @property
    def held_out_captions(self) -> Sequence[str]: ...
    @property
    def wish_kinds(self) -> Sequence[str]:
        """In which other words the client's wish is known."""
        ...

    async def noised(self, level: float, told: bool) -> tuple[Sequence[Mapping[str, Tensor]], float]:
        """The training pictures buried in noise at a level, always the same noise; with encoded captions if ``told``.

        Rows that the server can train on, one mapping for each shape of pictures (``coterie.models.buried``), and the
        signal-to-noise ratio of what is left of a picture.
        """
        ...

    async def describe(self, kind: str = "") -> Tensor:
        """The client's wish, encoded, as the run's wish mode sends it. ``kind`` asks for it in other words."""
        ...


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


class Grouping(Protocol):
    """Who belongs with whom.

    Attributes:
        reads: ``wishes`` (encoded, at enrolment), ``adapters`` (after the first round), ``both`` (wishes at enrolment,
            adapters too after the first round) or ``nothing``.
    """

    reads: ClassVar[str]

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        """Groups clients by what it reads; the order of ``vectors`` decides nothing.

        Args:
            vectors: by client a wish, a pair of the common start and what the first training made of it, or a pair of
                a wish and such a pair or None; empty if nothing is read.
            facts: of at least these clients; of all where nothing is read.
            seed: of the run.
        """
        ...


@dataclass(frozen=True)
class Grouped:
    """A partition of clients, and numbers that say how sure it is.

    Attributes:
        labels: group by client; the names are arbitrary, a form makes them stable.
        numbers: for the journal: silhouette, number of groups, floors.
    """

    labels: Mapping[ClientId, str]
    numbers: Mapping[str, float]


class Split(Protocol):
    """How clusters are cut out of similarities."""

    def split(self, similarity: NDArray[np.float64], seed: int) -> tuple[NDArray[np.int64], dict[str, float]]:
        """Labels ``(n,)`` for cosines ``(n, n)``, and numbers for the journal: silhouette, floor."""
        ...


class Keeping(Protocol):
    """What a client keeps for itself beside what it shares. All of it happens at the client.

    Attributes:
        served_is_whole: whether what the server has draws anything without what the client keeps.
        only_at_the_end: whether its ``steps`` are taken once, and not with every training.
    """

    served_is_whole: ClassVar[bool] = True
    only_at_the_end: ClassVar[bool] = False

    def begin(self, site: Site, served: Adapter) -> Adapter:
        """Where the shared training of a round begins."""
        return served

    def share(self, site: Site, trained: Adapter) -> Adapter:
        """What of the trained adapter is sent."""
        return trained

    async def after_round(self, site: Site, served: Adapter, fit: Fit) -> None:
        """After the shared training of a round."""
        return None

    async def keep(self, site: Site, served: Adapter, fit: Fit) -> Adapter | None:
        """At the end: the personal adapter, or None when the served one is all there is."""
        return None


class Interaction(Protocol):
    """What clusters learn from each other on the server, once a round's averages are made."""

    def mix(
        self, clusters: Mapping[str, Adapter], centres: Mapping[str, Tensor], examples: Mapping[str, float], round: int
    ) -> Mapping[str, Adapter]:
        """New adapters by cluster.

        Args:
            clusters: adapter by cluster, in order of names.
            centres: mean wish of each cluster's members; empty where there are no wishes.
            examples: training examples of each cluster's members.
            round: rounds played, this one among them.
        """
        ...


class Form(Protocol):
    """A shape of collaboration: both halves of it, all of them coroutines.

    Client halves are methods whose names begin with ``client_``.
    """

    @property
    def fit(self) -> Fit:
        """How clients train in a round."""
        ...

    async def init(self, adapter: Adapter) -> Any: ...
    async def enrol(self, state: Any, newcomers: Cohort) -> Any:
        """Before the first round, and before every round in which somebody comes, leaves or has another wish.

        ``newcomers`` are to be asked: who came and who has another wish, perhaps nobody. Who is in the state and no
        longer in ``newcomers.everybody`` has left and is to be forgotten; what it helped to learn stays. One member
        does for all three, because what they ask of a form is one thing: to look once more at who is there. A form
        that knows nothing of single clients returns the state as it is.
        """
        ...

    async def round(self, state: Any, cohort: Cohort) -> Any: ...
    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None: ...
    def serve(self, state: Any, client: ClientId) -> Adapter:
        """What is sent to a client for keeping."""
        ...

    def restore(self, fields: Mapping[str, Any]) -> Any:
        """A state from the fields that a checkpoint held."""
        ...

    def strata(self, state: Any) -> Mapping[ClientId, str]:
        """Groups that the sampling of a cohort must cover; empty if there are none."""
        ...

    def adapters(self, state: Any) -> Mapping[str, Adapter]:
        """What the server publishes, by name."""
        ...


__all__ = [
    "Aggregator", "ClientId", "Cohort", "Facts", "Form", "Grouped", "Grouping", "Half", "Interaction", "Keeping",
    "Replies", "ServerOptimiser", "Site", "Split", "Update",
]  # fmt: skip
