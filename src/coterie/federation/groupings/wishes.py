"""Groups by encoded wishes: agglomerative clustering with the number of groups chosen by silhouette.

Paper A (arXiv:2508.04745) groups clients by the similarity of their uploaded task requirements and does not say how.
Silhouette: Rousseeuw, 1987. The floors were calibrated on wishes of invented people (``tools/calibrate_wishes.py``),
never on those of the studio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from coterie.core.protocols import ClientId, Facts, Grouped
from coterie.federation.shelves import GROUPINGS


@GROUPINGS.register("wishes")
@dataclass(frozen=True)
class Wishes:
    """Average linkage on cosine distance.

    Attributes:
        floor: below this best mean silhouette everybody is one group.
        loner: a client farther than this (cosine distance) from the centre of its own group stands alone.
        most: largest number of groups tried; 0 for one less than the clients.
    """

    floor: Annotated[float, Ge(0), Le(1)] = 0.12
    loner: Annotated[float, Ge(0), Le(2)] = 1.0
    most: Annotated[int, Ge(0)] = 0

    reads: ClassVar[str] = "wishes"

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        clients = sorted(vectors)
        unit = np.stack([np.asarray(vectors[c], dtype=np.float64) for c in clients])
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        labels, numbers = by_distance(np.clip(1 - unit @ unit.T, 0, 2), self.floor, self.most)
        centres = {k: unit[labels == k].mean(0) for k in set(labels.tolist())}
        alone = 0
        for i in range(len(clients)):
            centre = centres[labels[i]]
            if (labels == labels[i]).sum() > 1 and 1 - unit[i] @ centre / np.linalg.norm(centre) > self.loner:
                labels[i] = labels.max() + 1
                alone += 1
        numbers |= {"group/floor": self.floor, "group/loner_floor": self.loner, "group/loners": float(alone)}
        return Grouped({c: str(k) for c, k in zip(clients, labels.tolist(), strict=True)}, numbers)


MOST_GROUPS = 64  # tried, however many clients there are


def by_distance(distance: NDArray[np.float64], floor: float, most: int) -> tuple[NDArray[np.int64], dict[str, float]]:
    """Labels and numbers for a matrix of distances ``(n, n)``; the number of groups by silhouette.

    Fewer than three clients, or a best mean silhouette below ``floor``, are one group. No more than ``MOST_GROUPS``
    are tried: one linkage serves for all of them, and a silhouette takes as long as reading the matrix.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform
    from sklearn.metrics import silhouette_score

    n = len(distance)
    one = np.zeros(n, dtype=np.int64)
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0.0)
    best, chosen = -1.0, one
    merges = linkage(squareform(distance, checks=False), method="average") if n > 2 else np.zeros((0, 4))
    labels = one
    for k in range(2, min(most or n - 1, n - 1, MOST_GROUPS) + 1):
        labels = labels.copy()
        labels[_leaves(merges, n, int(merges[n - k][1]))] = k - 1  # the last merge but k - 2 is undone
        score = float(silhouette_score(distance, labels, metric="precomputed"))
        if score > best + 1e-9:
            best, chosen = score, labels
    if best < floor:
        chosen = one
    numbers = {"group/silhouette": best, "group/count": float(len(set(chosen.tolist())))}
    return chosen, numbers


def _leaves(merges: NDArray[np.float64], n: int, node: int) -> list[int]:
    """The points below a node of a linkage of ``n`` points."""
    found, open_nodes = [], [node]
    while open_nodes:
        node = open_nodes.pop()
        if node < n:
            found.append(node)
        else:
            open_nodes += [int(merges[node - n][0]), int(merges[node - n][1])]
    return found
