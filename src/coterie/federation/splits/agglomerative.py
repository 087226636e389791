"""Average linkage: the two clusters whose members are nearest on average are joined, again and again.

UPGMA: Sokal and Michener, University of Kansas Science Bulletin 38, 1958. Where to stop: ``federation/silhouette.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

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
        most: largest number of groups tried; 0 for one less than the clients.
    """

    clusters: Annotated[int, Ge(0)] = 0
    floor: Annotated[float, Ge(0), Le(1)] = 0.12
    loner: Annotated[float, Ge(0), Le(2)] = 1.0
    most: Annotated[int, Ge(0)] = 0

    def split(self, similarity: Matrix, seed: int) -> tuple[Labels, dict[str, float]]:
        from sklearn.cluster import AgglomerativeClustering

        distance = distances(similarity)

        def cut(k: int) -> Labels:
            linkage = AgglomerativeClustering(k, metric="precomputed", linkage="average")
            labels: Labels = linkage.fit_predict(distance)
            return labels

        labels, numbers = chosen(distance, cut, self.clusters, self.most, self.floor)
        return labels if self.clusters else set_apart(similarity, labels, self.loner), numbers
