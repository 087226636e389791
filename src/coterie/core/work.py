"""Local training as data: what a client half asks its site for, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt

from coterie.core.adapter import Adapter


@dataclass(frozen=True)
class Task:
    """What a client is asked to train in a round.

    Attributes:
        start: where it begins.
        train: ``both`` factors, or ``a`` or ``b`` alone, the other one as it is.
        beside: an adapter that is active and frozen meanwhile, at whatever rank it has.
        within: one factor ``b`` whose span the trained one stays in, what leads from one to the other being trained.
        draw: seed of what all clients of the round are to draw alike, where a rule has such a thing.
    """

    start: Adapter
    train: str = "both"
    beside: Adapter | None = None
    draw: int = 0
    within: Adapter | None = None

    @property
    def below(self) -> Task:
        """The same without saying which factor: for what a client trains for itself."""
        return Task(self.start, beside=self.beside)


@dataclass(frozen=True)
class Fit:
    """How a client trains its adapter from a given start.

    Attributes:
        steps: optimiser steps.
        batch: pictures in a step; a client with fewer draws some of them more than once.
        rate: learning rate of AdamW.
        warmup: steps until the full rate.
        clip: largest norm of the client's whole gradient; 0 turns clipping off.
        weight_decay: of AdamW.
        drop: share of captions replaced by the empty one, so that guidance keeps working.
        mu: strength of the pull toward the anchor, ``mu / 2 * |row - anchor|^2`` (FedProx, Ditto).
        anchor: set by a form, never in a recipe.
        beside: an adapter that is active and stays as it is while another is trained; set by a form or a keeping.
        train: the factor, ``a`` or ``b``, that alone is trained; set by an aggregator.
        within: a ``b`` in whose span the trained one stays, see ``coterie.bank.core``; set by an aggregator.
    """

    __pydantic_config__: ClassVar[Any] = {"arbitrary_types_allowed": True, "extra": "forbid"}

    steps: Annotated[int, Ge(0)] = 16
    batch: Annotated[int, Ge(1)] = 8
    rate: Annotated[float, Gt(0)] = 3e-3
    warmup: Annotated[int, Ge(0)] = 4
    clip: Annotated[float, Ge(0)] = 1.0
    weight_decay: Annotated[float, Ge(0)] = 0.0
    drop: Annotated[float, Ge(0)] = 0.1
    mu: Annotated[float, Ge(0)] = 0.0
    anchor: Adapter | None = field(default=None, repr=False)
    beside: Adapter | None = field(default=None, repr=False)
    train: str | None = field(default=None, repr=False)
    within: Adapter | None = field(default=None, repr=False)

    def toward(self, anchor: Adapter, mu: float) -> Fit:
        """The same training, pulled toward an adapter."""
        return replace(self, anchor=anchor, mu=mu)

    def on_top_of(self, beside: Adapter) -> Fit:
        """The same training, of what is added to an adapter that is active and frozen."""
        return replace(self, beside=beside)

    def of(self, task: Task) -> Fit:
        """The same training, of what a task says."""
        train = None if task.train == "both" else task.train
        return replace(self, train=train, beside=task.beside, within=task.within)


@dataclass(frozen=True)
class Fitted:
    """What local training gave: the trained adapter, the client's number of examples, and plain numbers."""

    adapter: Adapter
    num_examples: int
    numbers: Mapping[str, float]
