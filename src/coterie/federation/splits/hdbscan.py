"""Density instead of a number: HDBSCAN, Campello, Moulavi and Sander, PAKDD 2013, by scikit-learn.

What it calls noise belongs to no cluster; each such client gets one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from coterie.federation.shelves import SPLITS
from coterie.federation.silhouette import Labels, Matrix, distances, silhouette


@SPLITS.register("hdbscan")
@dataclass(frozen=True)
class Hdbscan:
    """Clusters of clients that lie dense; it finds their number itself, and who lies alone stays alone.

    Attributes:
        smallest: clients that make a cluster.
        floor: below this mean silhouette, and where nobody lies near anybody, everybody is one group.
    """

    smallest: Annotated[int, Ge(2)] = 2
    floor: Annotated[float, Ge(0), Le(1)] = 0.0

    def split(self, similarity: Matrix, seed: int) -> tuple[Labels, dict[str, float]]:
        from sklearn.cluster import HDBSCAN

        distance, n = distances(similarity), len(similarity)
        labels, score = np.zeros(n, dtype=np.int64), -1.0
        if n > max(2, self.smallest):
            dense = HDBSCAN(min_cluster_size=self.smallest, metric="precomputed", copy=True)
            found = dense.fit_predict(distance).astype(np.int64)
            noise = np.flatnonzero(found < 0)
            found[noise] = found.max() + 1 + np.arange(len(noise))
            score = silhouette(distance, found)
            labels = found if score >= self.floor else labels
        return labels, {"group/silhouette": score, "group/floor": self.floor}
