"""Bytes counted where they cross: by round, client, direction, link and purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


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


class Work(NamedTuple):
    """Examples that went through a client's model: ``trained`` ones forward and back, ``scored`` ones forward only."""

    round: int
    client: str
    kind: str
    purpose: str
    wasted: bool = False


@dataclass
class Meter:
    """Counts of bytes, of messages, and of what clients say they computed; a value that a checkpoint can hold."""

    num_bytes: Counter[Passage] = field(default_factory=Counter)
    num_messages: Counter[Passage] = field(default_factory=Counter)
    work: Counter[Work] = field(default_factory=Counter)

    def count(self, passage: Passage, blob: bytes) -> bytes:
        """Counts a blob and hands it on."""
        self.num_bytes[passage] += len(blob)
        self.num_messages[passage] += 1
        return blob

    def worked(self, work: Work, examples: int) -> None:
        """Counts examples, if there are any."""
        if examples:
            self.work[work] += examples

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
        for work, n in other.work.items():
            self.work[work._replace(wasted=wasted or work.wasted)] += n

    def as_plain(self) -> list[list[Any]]:
        """Rows of passage fields, bytes and messages, sorted."""
        return [[*p, self.num_bytes[p], self.num_messages[p]] for p in sorted(self.num_bytes)]

    def work_as_plain(self) -> list[list[Any]]:
        """Rows of work's fields and examples, sorted."""
        return [[*w, self.work[w]] for w in sorted(self.work)]

    @classmethod
    def from_plain(cls, rows: list[list[Any]], worked: Sequence[list[Any]] = ()) -> Meter:
        """The inverse of ``as_plain`` and ``work_as_plain``."""
        meter = cls()
        for *work, examples in worked:
            meter.work[Work(*work)] = examples
        for *passage, num_bytes, num_messages in rows:
            meter.num_bytes[Passage(*passage)] = num_bytes
            meter.num_messages[Passage(*passage)] = num_messages
        return meter
