"""Paired comparisons over people: a mean difference, a bootstrap interval of it, and who was better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000


@dataclass(frozen=True)
class Paired:
    """What the second of two has more than the first, person by person.

    Attributes:
        n: people.
        mean: of the differences.
        low: lower end of the 95 % interval of the mean; None for fewer than two people.
        high: its upper end.
        better: people with a difference above zero.
        worse: people with a difference below zero.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    better: int
    worse: int


def paired(first: Sequence[float], second: Sequence[float], seed: int = 0, draws: int = DRAWS) -> Paired:
    """Compares two values of each person, where more is better.

    The interval is the percentile bootstrap over people: it says how much the mean would move with other people of the
    same kind, and nothing of other seeds. With few people it is too narrow.

    Raises:
        ValueError: if the two are not equally long, or empty.

    >>> paired([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]).better
    3
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    n = len(differences)
    if not n or len(first) != len(second):
        raise ValueError(f"wanted the same people twice; there are {len(first)} and {len(second)}")
    low = high = None
    if n > 1:
        rng = np.random.default_rng(seed)
        means = differences[rng.integers(0, n, (draws, n))].mean(1)
        low, high = (float(x) for x in np.quantile(means, (0.025, 0.975)))
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return Paired(n, float(differences.mean()), low, high, better, worse)
