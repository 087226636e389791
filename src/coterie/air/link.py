"""What carries bytes: the borders of a link and of a path loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

Way = Literal["up", "down", "across"]


@dataclass(frozen=True)
class Transfer:
    """What it took to carry bytes once.

    Attributes:
        seconds: until the last bit was there.
        joules: of the client that sent or received; what a base station or a server spends is not counted.
    """

    seconds: float
    joules: float


@dataclass(frozen=True)
class Occasion:
    """Who carries something when; all luck of a transfer follows from it.

    Attributes:
        seed: of the run.
        round: number.
        client: that sends or receives.
        sharers: clients that use the same uplink at the same time.
        at: seconds on the clock when it begins.
    """

    seed: int
    round: int
    client: str
    sharers: int = 1
    at: float = 0.0


class Link(ABC):
    """One kind of connection."""

    @abstractmethod
    def carry(self, num_bytes: int, way: Way, when: Occasion) -> Transfer:
        """Time and energy of so many bytes; no bytes take none."""


class PathLoss(ABC):
    """How much weaker a signal arrives."""

    @abstractmethod
    def loss_db(self, metres: float, gigahertz: float) -> float:
        """Decibels over a distance; below the model's smallest distance as at it."""

    @property
    @abstractmethod
    def shadowing_db(self) -> float:
        """Standard deviation of the shadowing, drawn once for each client."""
