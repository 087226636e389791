"""What a client half may touch of the client that it runs at, and what a client declares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.split import ClientSide
from coterie.core.work import Fit, Fitted

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
