"""Spherical k-means: Dhillon and Modha, Machine Learning 42, 2001; its start is k-means++: Arthur, Vassilvitskii, 2007.

Only cosines are given, so that adapters can be grouped without writing their updates out: unit vectors that have
these cosines are ``V sqrt(L)`` of the eigendecomposition ``V L V^T``. Where to stop: ``federation/silhouette.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from coterie.core.seeds import seed_for
from coterie.federation.shelves import SPLITS
from coterie.federation.silhouette import Labels, Matrix, chosen, distances, set_apart

MOST_STEPS = 100


@SPLITS.register("kmeans")
@dataclass(frozen=True)
class KMeans:
    """Spherical k-means: the cluster with the nearest centre, by cosine.

    Attributes:
        clusters: how many there must be; 0 takes the number with the best mean silhouette.
        floor: below this best mean silhouette everybody is one group.
        loner: a client farther than this (cosine distance) from the centre of its own group stands alone, unless
            the number of clusters is given.
        most: largest number of groups tried; 0 for one less than the clients, and at most 64.
        restarts: random starts for each number of groups; the tightest counts.
    """

    clusters: Annotated[int, Ge(0)] = 0
    floor: Annotated[float, Ge(0), Le(1)] = 0.12
    loner: Annotated[float, Ge(0), Le(2)] = 1.0
    most: Annotated[int, Ge(0)] = 16
    restarts: Annotated[int, Ge(1)] = 10

    def split(self, similarity: Matrix, seed: int) -> tuple[Labels, dict[str, float]]:
        x, distance = vectors_of(similarity), distances(similarity)

        def cut(k: int) -> Labels:
            rng = np.random.default_rng(seed_for(seed, 0, "", f"kmeans/{k}"))
            runs = [settled(x, started(x, k, rng)) for _ in range(self.restarts)]
            return max(runs, key=lambda run: run[1])[0]

        labels, numbers = chosen(distance, cut, self.clusters, self.most, self.floor)
        return labels if self.clusters else set_apart(similarity, labels, self.loner), numbers


def vectors_of(similarity: Matrix) -> Matrix:
    """Unit vectors ``(n, n)`` with these cosines; what no vectors can have (negative eigenvalues) is left out."""
    values, vectors = np.linalg.eigh((similarity + similarity.T) / 2)
    return _unit(vectors * np.sqrt(np.clip(values, 0, None)))


def started(x: Matrix, k: int, rng: np.random.Generator) -> Matrix:
    """``k`` of the vectors, each drawn with probability proportional to its distance to the nearest drawn before."""
    drawn = [int(rng.integers(len(x)))]
    while len(drawn) < k:
        far = np.clip(1 - (x @ x[drawn].T).max(1), 0, None)
        far[drawn] = 0.0
        if far.sum() <= 1e-12:  # all others lie on one that was drawn
            far = np.ones(len(x))
            far[drawn] = 0.0
        drawn.append(int(rng.choice(len(x), p=far / far.sum())))
    return x[drawn]


def settled(x: Matrix, centres: Matrix) -> tuple[Labels, float]:
    """Lloyd's steps with centres on the sphere: labels, and the sum of cosines with their centres, to be large."""
    k = len(centres)
    labels = np.full(len(x), -1)
    for _ in range(MOST_STEPS):
        cosines = x @ centres.T
        found = _without_empty(cosines, cosines.argmax(1), k)
        if (found == labels).all():
            break
        labels = found
        centres = _unit(np.stack([x[labels == j].sum(0) for j in range(k)]))
    return labels.astype(np.int64), float((x @ centres.T)[np.arange(len(x)), labels].sum())


def _without_empty(cosines: Matrix, labels: Labels, k: int) -> Labels:
    """An empty cluster takes the vector that is farthest from its own centre and not alone."""
    labels = labels.copy()
    for j in range(k):
        if not (labels == j).any():
            together = np.bincount(labels, minlength=k)[labels] > 1
            labels[np.where(together, cosines[np.arange(len(labels)), labels], np.inf).argmin()] = j
    return labels


def _unit(x: Matrix) -> Matrix:
    unit: Matrix = x / np.clip(np.linalg.norm(x, axis=1, keepdims=True), 1e-150, None)
    return unit
