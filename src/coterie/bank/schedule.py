"""Which clients share which pass, where pictures have several shapes and a pass has one.

Every step of a client has a place in a timetable that is the same for everybody: the first step in a bucket has one
place, the second another, and so on, wherever else a client has steps. So two clients with three and five steps in a
bucket meet three times, and there are never more passes than the fewest possible: in each bucket as many as the client
with most steps there needs. What a client does, and in which order, depends on its own pictures and seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from coterie.core.seeds import seed_for

GOLDEN = 0.618034  # multiples of it, without their whole part, lie evenly in 0 to 1 however many there are


class Turn(NamedTuple):
    """A place in the timetable, and the bucket whose turn it is."""

    time: float
    bucket: int


def plain_turns(steps: int) -> list[Turn]:
    """One step after another, where all pictures have one shape."""
    return [Turn(float(step), 0) for step in range(steps)]


def turns(counts: Sequence[int], steps: int, seed: int) -> list[Turn]:
    """A client's steps in their order: ``steps`` of them, those of each bucket spread evenly.

    A bucket gets its share of the pictures times the steps, rounded up or down by the draw, so that over many fits
    every picture is seen equally often.

    Args:
        counts: pictures in each bucket, at least one in all.
        steps: in all.
        seed: of the draw.

    >>> [turn.bucket for turn in turns([2, 0, 4], 6, 0)]
    [0, 2, 2, 0, 2, 2]
    """
    begin = torch.rand((), generator=torch.Generator().manual_seed(seed_for(seed, 0, "", "buckets")))
    marks = (torch.arange(steps, dtype=torch.float64) + begin) * sum(counts) / max(1, steps)
    ends = torch.tensor(counts, dtype=torch.float64).cumsum(0)
    own = torch.bincount(torch.searchsorted(ends, marks, right=True), minlength=len(counts)).tolist()
    return sorted(Turn(_place(bucket, nth), bucket) for bucket, n in enumerate(own) for nth in range(n))


def passes(clients: Sequence[Sequence[Turn]]) -> list[tuple[int, list[int]]]:
    """All passes in order: the bucket of each, and which clients take their next step in it.

    >>> passes([plain_turns(2), plain_turns(1)])
    [(0, [0, 1]), (0, [0])]
    """
    members: dict[Turn, list[int]] = {}
    for client, own in enumerate(clients):
        for turn in own:
            members.setdefault(turn, []).append(client)
    return [(turn.bucket, members[turn]) for turn in sorted(members)]


def _place(bucket: int, nth: int) -> float:
    """Of a bucket's steps: the first few of these places, however many, lie evenly in 0 to 1 (van der Corput)."""
    digits = f"{nth:b}"[::-1]
    return (float(int(digits, 2)) / float(1 << len(digits)) + bucket * GOLDEN) % 1
