"""How many clusters there are: the number whose mean silhouette is best, or the number that was asked for.

Silhouette: Rousseeuw, Journal of Computational and Applied Mathematics 20, 1987. With ``a`` a client's mean distance to
its own cluster and ``b`` that to the nearest other one it is ``(b - a) / max(a, b)``, and 0 for a client alone. It
cannot score one cluster, so below a floor everybody is one group.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]

MOST_GROUPS = 64  # tried where nobody says how many: a silhouette takes as long as reading all distances


def distances(similarity: Matrix) -> Matrix:
    """Cosine distances ``1 - cosine`` of ``(n, n)`` cosines: symmetric, from 0 to 2, nothing on the diagonal."""
    distance = np.clip(1 - similarity, 0, 2)
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0.0)
    return distance


def silhouette(distance: Matrix, labels: Labels) -> float:
    """Mean silhouette of a partition, or -1 where it is not defined: one group, or everybody alone."""
    from sklearn.metrics import silhouette_score

    if not 1 < len(set(labels.tolist())) < len(labels):
        return -1.0
    return float(silhouette_score(distance, labels, metric="precomputed"))


def chosen(
    distance: Matrix, cut: Callable[[int], Labels], clusters: int, most: int, floor: float
) -> tuple[Labels, dict[str, float]]:
    """The best of several partitions.

    Args:
        distance: ``(n, n)``.
        cut: labels ``(n,)`` for a number of clusters.
        clusters: how many there must be, or as many as there are clients where these are fewer; 0 tries.
        most: largest number tried; 0 for one less than the clients, but no more than ``MOST_GROUPS``.
        floor: below this best mean silhouette, and with fewer than three clients, everybody is one group.
    """
    n = len(distance)
    best, labels = -1.0, np.zeros(n, dtype=np.int64)
    if clusters:
        if min(clusters, n) > 1:
            labels = cut(min(clusters, n)).astype(np.int64)
        return labels, {"group/silhouette": silhouette(distance, labels)}
    for k in range(2, min(most or MOST_GROUPS, n - 1) + 1):
        found = cut(k).astype(np.int64)
        score = silhouette(distance, found)
        if score > best + 1e-9:
            best, labels = score, found
    if best < floor:
        labels = np.zeros(n, dtype=np.int64)
    return labels, {"group/silhouette": best, "group/floor": floor}


def set_apart(similarity: Matrix, labels: Labels, loner: float) -> Labels:
    """Labels with a cluster of its own for each client farther than ``loner`` from the centre of its cluster.

    The centre is the mean of unit vectors, so the cosine with it is ``mean_j S_ij / sqrt(mean_jk S_jk)``.
    """
    apart = labels.copy()
    for k in sorted(set(labels.tolist())):
        members = np.flatnonzero(labels == k)
        inside = similarity[np.ix_(members, members)]
        cosine = inside.mean(1) / np.sqrt(max(float(inside.mean()), 1e-12))
        for i in members[1 - cosine > loner]:
            if (apart == k).sum() > 1:
                apart[i] = apart.max() + 1
    return apart
