"""Bytes counted where they cross: by round, client, direction, link and purpose."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DIRECT = "device-to-device"
"""The link of what goes across."""

BACKHAUL = "backhaul"
"""The link between servers: edges and the cloud. Its ``client`` is an edge."""


class Passage(NamedTuple):
    """One kind of crossing.

    ``direction`` is ``up`` (to the server), ``down`` (from it) or ``across`` (device to device). ``link`` names what
    carries it. ``purpose`` is ``train``, ``evaluate``, ``enrol`` or ``keep``; ``wasted`` bytes belong to an attempt
    whose results were never accepted.
    """

    round: int
    client: str
    direction: str
    link: str
    purpose: str
    wasted: bool = False


@dataclass
class Meter:
    """Counts of bytes and messages; a value that a checkpoint can hold."""

    num_bytes: Counter[Passage] = field(default_factory=Counter)
    num_messages: Counter[Passage] = field(default_factory=Counter)

    def count(self, passage: Passage, blob: bytes) -> bytes:
        """Counts a blob and hands it on."""
        self.num_bytes[passage] += len(blob)
        self.num_messages[passage] += 1
        return blob

    def total(self, **wanted: Any) -> int:
        """Bytes of all passages whose named fields have the given values; wasted ones only if asked for.

        >>> meter = Meter()
        >>> _ = meter.count(Passage(1, "ada", "up", "memory", "train"), b"12345")
        >>> meter.total(direction="up"), meter.total(direction="down")
        (5, 0)
        """
        wanted = {"wasted": False, **wanted}
        return sum(n for p, n in self.num_bytes.items() if all(getattr(p, k) == v for k, v in wanted.items()))

    def messages(self, **wanted: Any) -> int:
        """Messages, chosen as in ``total``."""
        wanted = {"wasted": False, **wanted}
        return sum(n for p, n in self.num_messages.items() if all(getattr(p, k) == v for k, v in wanted.items()))

    def add(self, other: Meter, wasted: bool = False) -> None:
        """Takes over another meter's counts, as wasted ones if an attempt came to nothing."""
        for mine, theirs in ((self.num_bytes, other.num_bytes), (self.num_messages, other.num_messages)):
            for passage, n in theirs.items():
                mine[passage._replace(wasted=wasted or passage.wasted)] += n

    def as_plain(self) -> list[list[Any]]:
        """Rows of passage fields, bytes and messages, sorted."""
        return [[*p, self.num_bytes[p], self.num_messages[p]] for p in sorted(self.num_bytes)]

    @classmethod
    def from_plain(cls, rows: list[list[Any]]) -> Meter:
        """The inverse of ``as_plain``."""
        meter = cls()
        for *passage, num_bytes, num_messages in rows:
            meter.num_bytes[Passage(*passage)] = num_bytes
            meter.num_messages[Passage(*passage)] = num_messages
        return meter
