"""Paired differences over seeds and people: their mean and an interval that knows of both.

The people are the same in every seed, so a draw takes seeds with replacement and, once for all of them, people with
replacement; people are drawn within their groups, and every group counts alike, so that the interval is of the mean
over groups and not of the luck of having drawn one group more often. Source: Davison and Hinkley, Bootstrap Methods and
their Application, 1997, section 3.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
LEVELS = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A mean with the 95 % percentile interval of the bootstrap; ``low`` and ``high`` are None for a single number."""

    mean: float
    low: float | None
    high: float | None


def hierarchical(
    differences: NDArray[np.float64], groups: Sequence[str] = (), seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Mean over groups of the mean over people and seeds, and its interval.

    Args:
        differences: ``(seeds, people)``, each a person's difference between two arms in one seed.
        groups: of each person; none are one group.
        seed: of the draws.
        draws: how many.

    Raises:
        ValueError: if there is no difference, one is not finite, or the groups are not those of the people.

    >>> hierarchical(np.array([[1.0, 1.0], [1.0, 1.0]]))
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    mine = np.asarray(differences, np.float64)
    if mine.ndim != 2 or not mine.size or not np.isfinite(mine).all():
        raise ValueError(f"wanted finite differences (seeds, people), got {mine.shape}")
    mean, means = _drawn([mine], groups, seed, draws)
    if mine.size == 1:
        return Interval(float(mean[0]), None, None)
    low, high = np.quantile(means[0], LEVELS)
    return Interval(float(mean[0]), float(low), float(high))


def hierarchical_ratio(
    part: NDArray[np.float64], whole: NDArray[np.float64], groups: Sequence[str] = (), seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Mean of ``part`` as a share of the mean of ``whole``, both drawn together: what share of one gain another has.

    The interval is None where the mean of ``whole`` is not above zero in every draw: then a share says nothing.

    Raises:
        ValueError: see ``hierarchical``; or the two have not one shape.
    """
    one, other = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    if one.shape != other.shape or one.ndim != 2 or not one.size or not np.isfinite([one, other]).all():
        raise ValueError(f"wanted two sets of finite differences (seeds, people), got {one.shape} and {other.shape}")
    mean, means = _drawn([one, other], groups, seed, draws)
    ratio = float(mean[0] / mean[1]) if mean[1] else float("nan")
    if (means[1] <= 0).any():
        return Interval(ratio, None, None)
    low, high = np.quantile(means[0] / means[1], LEVELS)
    return Interval(ratio, float(low), float(high))


def _drawn(
    tables: Sequence[NDArray[np.float64]], groups: Sequence[str], seed: int, draws: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each table ``(seeds, people)``: its mean, and the means ``(tables, draws)`` of the same draws of all."""
    num_seeds, people = tables[0].shape
    names = list(groups) or [""] * people
    if len(names) != people:
        raise ValueError(f"there are {people} people and {len(names)} groups")
    members = [[i for i, name in enumerate(names) if name == group] for group in dict.fromkeys(names)]
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, num_seeds, (draws, num_seeds))
    mean, means = np.zeros(len(tables)), np.zeros((len(tables), draws))
    for rows in members:
        chosen = rng.integers(0, len(rows), (draws, len(rows)))
        for t, table in enumerate(tables):
            mine = table[:, rows]
            mean[t] += mine.mean() / len(members)
            means[t] += mine[seeds[:, :, None], chosen[:, None, :]].mean((1, 2)) / len(members)
    return mean, means
