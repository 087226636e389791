"""What one person hands over for training in one round, out of what a meter counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from coterie.wire.meter import BACKHAUL, Meter


@dataclass(frozen=True)
class HandedOver:
    """Means over all rounds and, in each, over those who handed over anything; attempts that came to nothing left out.

    Attributes:
        num_bytes: that one client's device gave away in a round, envelopes included.
        messages: in which it did.
        to: whom, in words.
    """

    num_bytes: float
    messages: float
    to: str


def handed_over(meter: Meter) -> HandedOver | None:
    """None where no device gave away anything for training.

    What edges and a cloud send each other is nobody's own.

    >>> from coterie.wire.meter import Passage
    >>> meter = Meter()
    >>> for client, way in (("ada", "across"), ("bo", "up")):
    ...     _ = meter.count(Passage(1, client, way, "memory", "train"), b"12345")
    >>> handed_over(meter)
    HandedOver(num_bytes=5.0, messages=1.0, to='another device or the server')
    """
    mine = [
        p
        for p in meter.num_bytes
        if p.purpose == "train" and p.direction != "down" and p.link != BACKHAUL and not p.wasted
    ]
    ways: Counter[str] = Counter()
    for passage in mine:
        ways[passage.direction] += meter.num_bytes[passage]
    turns = len({(p.round, p.client) for p in mine})
    if not turns:
        return None
    server = "an edge" if any(p.link == BACKHAUL for p in meter.num_bytes) else "the server"
    to = " or ".join([*(["another device"] if ways["across"] else []), *([server] if ways["up"] else [])])
    return HandedOver(ways.total() / turns, sum(meter.num_messages[p] for p in mine) / turns, to)
