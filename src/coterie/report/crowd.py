"""Pages of many people: all of them as one distribution, and a few of every cluster, from worst to best, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coterie.report.measures import Measures

MANY = 60  # people who are still shown one by one
MOST_OF_ONE = 12  # people shown of one cluster
MOST_CLUSTERS = 12  # of which people are shown, the largest
WIDTH, HEIGHT, BINS = 920, 200, 40
LEFT, TOP, BOTTOM = 44, 12, 26


@dataclass(frozen=True)
class Crowd:
    """What is shown of many people.

    Attributes:
        names: who is shown by name.
        count: people in all.
        clusters: of whom people are shown.
        bars: of the distribution: ``x, y, width, height, cluster``, in the drawing's units.
        ticks: ``x`` and the share there, below the bars.
        most: people in the highest pile.
    """

    names: frozenset[str]
    count: int
    clusters: int
    bars: tuple[tuple[float, float, float, float, int], ...]
    ticks: tuple[tuple[float, float], ...]
    most: int
    width: int = WIDTH
    height: int = HEIGHT


def crowd(own: Measures, clusters: Mapping[str, int]) -> Crowd | None:
    """None where everybody can be shown."""
    arm = own.arm
    there = [c for c, client in arm.clients.items() if client.left is None]
    if len(there) <= MANY:
        return None
    removed = {c: own.removed(c, "own") for c in there}
    groups: dict[str, list[str]] = {}
    for client in there:
        groups.setdefault(arm.clusters.get(client, ""), []).append(client)
    largest = sorted(groups, key=lambda name: (-len(groups[name]), name))[:MOST_CLUSTERS]
    share = min(MOST_OF_ONE, max(3, MANY // 2 // len(largest)))
    names: set[str] = set()
    for name in largest:
        names |= set(spread_out(groups[name], removed, share))
    marks = {c: clusters.get(arm.clusters.get(c, ""), 0) for c in there}
    known = {c: x for c, x in removed.items() if x is not None}
    bars, ticks, most = piles(known, marks)
    return Crowd(frozenset(names), len(there), len(largest), bars, ticks, most)


def spread_out(members: Sequence[str], removed: Mapping[str, float | None], count: int) -> list[str]:
    """So many members from the worst to the best, evenly by rank; by name where nothing was scored.

    >>> spread_out(["a", "b", "c"], {"a": 0.3, "b": 0.1, "c": 0.2}, 2)
    ['b', 'a']
    """
    ranked = sorted(members, key=lambda c: (removed[c] if removed[c] is not None else 0.0, c))
    at = np.linspace(0, len(ranked) - 1, min(count, len(ranked)))
    return [ranked[i] for i in dict.fromkeys(at.round().astype(int).tolist())]


def piles(
    removed: Mapping[str, float], marks: Mapping[str, int]
) -> tuple[tuple[tuple[float, float, float, float, int], ...], tuple[tuple[float, float], ...], int]:
    """People by error removed, those of a cluster in one colour on top of those of another."""
    if not removed:
        return (), (), 0
    values = np.array(list(removed.values()))
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        low, high = low - 0.005, high + 0.005
    edges = np.linspace(low, high, BINS + 1)
    wide = (WIDTH - LEFT) / BINS
    counts = {
        mark: np.histogram([x for c, x in removed.items() if marks[c] == mark], edges)[0]
        for mark in sorted(set(marks.values()))
    }
    most = int(np.sum(list(counts.values()), axis=0).max())
    bars, below = [], np.zeros(BINS)
    for mark, piled in counts.items():
        for i, count in enumerate(piled.tolist()):
            if count:
                tall = (HEIGHT - TOP - BOTTOM) * count / most
                top = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (below[i] + count) / most
                bars.append((LEFT + i * wide, float(top), wide - 1.5, tall, mark))
        below += piled
    ticks = tuple((LEFT + (WIDTH - LEFT) * f, low + (high - low) * f) for f in (0, 0.25, 0.5, 0.75, 1))
    return tuple(bars), ticks, most


def only(rows: Sequence[Mapping[str, Any]], some: Crowd | None) -> list[Mapping[str, Any]]:
    """The rows of those who are shown, by their ``name``."""
    return [row for row in rows if some is None or row["name"] in some.names]
