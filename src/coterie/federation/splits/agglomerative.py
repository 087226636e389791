"""Average linkage: the two clusters whose members are nearest on average are joined, again and again.

UPGMA: Sokal and Michener, University of Kansas Science Bulletin 38, 1958. One linkage
serves for every number of clusters; where to stop: ``federation/silhouette.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from coterie.federation.shelves import SPLITS
from coterie.federation.silhouette import Labels, Matrix, chosen, distances, set_apart


@SPLITS.register("agglomerative")
@dataclass(frozen=True)
class Agglomerative:
    """Average linkage on cosine distance.

    Attributes:
        clusters: how many there must be; 0 takes the number with the best mean silhouette.
        floor: below this best mean silhouette everybody is one group.
        loner: a client farther than this (cosine distance) from the centre of its own group stands alone, unless
            the number of clusters is given.
        most: largest number of groups tried; 0 for one less than the clients, and at most 64.
    """

    clusters: Annotated[int, Ge(0)] = 0
    floor: Annotated[float, Ge(0), Le(1)] = 0.12
    loner: Annotated[float, Ge(0), Le(2)] = 1.0
    most: Annotated[int, Ge(0)] = 0

    def split(self, similarity: Matrix, seed: int) -> tuple[Labels, dict[str, float]]:
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        distance, n = distances(similarity), len(similarity)
        joined = (
            linkage(squareform(distance, checks=False), "average")[:, :2].astype(int)
            if n > 1
            else np.zeros((0, 2), int)
        )
        labels, numbers = chosen(distance, lambda k: undone(joined, n, k), self.clusters, self.most, self.floor)
        return labels if self.clusters else set_apart(similarity, labels, self.loner), numbers


def undone(joined: NDArray[np.int64], n: int, k: int) -> Labels:
    """The ``k`` clusters that there were before the last ``k - 1`` joins: labels ``(n,)``.

    Args:
        joined: the two nodes of each join, in order; point ``i`` is node ``i``, what join ``i`` made is node ``n + i``.
        n: points.
        k: from 1 to ``n``.
    """
    top = np.arange(2 * n - k)  # by node, the one of the k clusters in which it is
    for node in range(2 * n - k - 1, n - 1, -1):
        top[joined[node - n]] = top[node]
    return np.unique(top[:n], return_inverse=True)[1].astype(np.int64)
