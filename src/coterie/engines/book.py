"""What the engine must remember besides the form's state; a checkpoint is the two of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from coterie.engines.columns import as_columns, from_columns
from coterie.wire.meter import Meter

SCORE = ("round", "client", "test", "adapter", "count")


@dataclass
class Book:
    """The engine's side of a checkpoint.

    Attributes:
        round: the last finished round; -1 before enrolment.
        attempt: attempts started so far, over all rounds and restarts: no number is ever used twice.
        accepted: for each client, the version of its memory whose reply was accepted last.
        meter: bytes and work of accepted attempts, and wasted ones marked as such.
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
            "meter": as_columns(self.meter.as_plain()),
            "work": as_columns(self.meter.work_as_plain()),
            "scores": as_columns([[score[key] for key in SCORE] for score in self.scores]),
            "losses": torch.cat([score["loss"].double() for score in self.scores] or [torch.zeros(0)]),
            "levels": torch.tensor([len(score["loss"]) for score in self.scores]),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Book:
        meter = Meter.from_plain(
            [[*row[:5], bool(row[5]), *row[6:]] for row in from_columns(plain["meter"])],
            [[*row[:4], bool(row[4]), row[5]] for row in from_columns(plain["work"])],
        )
        scored, losses = from_columns(plain["scores"]), plain["losses"].split(plain["levels"].tolist())
        scores = [  # keys in the order of new scores: results of a resumed run are the same files
            {**dict(zip(SCORE, who, strict=False)), "loss": loss, "count": count}
            for (*who, count), loss in zip(scored, losses, strict=True)
        ]
        return cls(plain["round"], plain["attempt"], dict(plain["accepted"]), meter, scores)
