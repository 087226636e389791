"""Each cluster takes a little from those that are like it: paper A (arXiv:2508.04745), our reading I1.

``D~_c = sum_c' M[c, c'] D_c'`` with ``M = (1 - strength) I + strength S`` and
``S[c, c'] = softmax over c' of cos(mu_c, mu_c') / temperature``. Mixing every round contracts what sets clusters apart
at about the second eigenvalue of ``M``, so it is weak, or rare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.groups import Interaction
from coterie.federation.groupings.weights import product
from coterie.federation.products import mean_of_products
from coterie.federation.shelves import INTERACTIONS


@INTERACTIONS.register("similarity")
@dataclass(frozen=True)
class Similarity(Interaction):
    """Likeness is the cosine of the clusters' mean wishes, or of what their adapters do where there are no wishes.

    Attributes:
        strength: share of a cluster's adapter that comes from the mix, its own part in the mix included; 0 is none.
        temperature: small takes from the likest only, large from all alike.
        every: rounds between mixes.
    """

    strength: Annotated[float, Ge(0), Le(1)] = 0.2
    temperature: Annotated[float, Gt(0)] = 0.2
    every: Annotated[int, Ge(1)] = 1

    def mix(
        self, clusters: Mapping[str, Adapter], centres: Mapping[str, Tensor], examples: Mapping[str, float], round: int
    ) -> Mapping[str, Adapter]:
        if not self.strength or len(clusters) < 2 or round % self.every:
            return clusters
        names = list(clusters)
        likeness = cosines([centres[n] for n in names]) if centres else affinities([clusters[n] for n in names])
        matrix = (1 - self.strength) * np.eye(len(names)) + self.strength * softmax(likeness / self.temperature)
        return mixed(clusters, matrix)


def mixed(clusters: Mapping[str, Adapter], matrix: NDArray[np.float64]) -> dict[str, Adapter]:
    """``sum_c' matrix[c, c'] D_c'`` for every cluster, exact on the products up to the cluster's own rank."""
    adapters = list(clusters.values())
    return {
        name: mean_of_products(adapters, row.tolist(), clusters[name])[0]
        for name, row in zip(clusters, matrix, strict=True)
    }


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over each row."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    shares: NDArray[np.float64] = e / e.sum(1, keepdims=True)
    return shares


def cosines(vectors: Sequence[Tensor]) -> NDArray[np.float64]:
    """Of all pairs of vectors."""
    unit = torch.nn.functional.normalize(torch.stack(list(vectors)).double(), dim=1)
    inner: NDArray[np.float64] = (unit @ unit.T).numpy()
    return inner


def affinities(adapters: Sequence[Adapter]) -> NDArray[np.float64]:
    """Of all pairs of effective updates; an adapter that does nothing is like itself only."""
    inner = np.array([[product(one, other) for other in adapters] for one in adapters])
    norms = np.sqrt(np.clip(np.diag(inner), 1e-300, None))
    found: NDArray[np.float64] = inner / np.outer(norms, norms)
    np.fill_diagonal(found, 1.0)
    return found
