"""What the engine must remember besides the form's state; a checkpoint is the two of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coterie.wire.meter import Meter


@dataclass
class Book:
    """The engine's side of a checkpoint.

    Attributes:
        round: the last finished round; -1 before enrolment.
        attempt: attempts started so far, over all rounds and restarts: no number is ever used twice.
        accepted: for each client, the version of its memory whose reply was accepted last.
        meter: bytes of accepted attempts, and wasted ones marked as such.
        scores: held-out losses by round, client and test set: ``loss`` is a tensor by noise level.
    """

    round: int = -1
    attempt: int = 0
    accepted: dict[str, str] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)
    scores: list[dict[str, Any]] = field(default_factory=list)

    def as_plain(self) -> dict[str, Any]:
        return {
            "round": self.round,
            "attempt": self.attempt,
            "accepted": dict(sorted(self.accepted.items())),
            "meter": self.meter.as_plain(),
            "scores": list(self.scores),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Book:
        meter = Meter.from_plain(plain["meter"])
        return cls(plain["round"], plain["attempt"], dict(plain["accepted"]), meter, list(plain["scores"]))
