"""Groups by what adapters do: cosine of effective updates, ``<D_i, D_j> / (|D_i| |D_j|)``, after the first round.

The inner product is taken on factors, ``sum((b_i^T b_j) * (a_i a_j^T))``, so no dense update is formed and a change of
gauge changes nothing. LoRA weights cluster by artistic style: arXiv:2412.12048.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Le

from coterie.core.adapter import Adapter, LowRank
from coterie.core.protocols import ClientId, Facts, Grouped
from coterie.federation.gram import gram
from coterie.federation.groupings.wishes import by_distance
from coterie.federation.shelves import GROUPINGS


@GROUPINGS.register("weights")
@dataclass(frozen=True)
class Weights:
    """Average linkage on the cosine distance of effective updates.

    Attributes:
        floor: below this best mean silhouette everybody is one group.
        most: largest number of groups tried; 0 for one less than the clients.
    """

    floor: Annotated[float, Ge(0), Le(1)] = 0.05
    most: Annotated[int, Ge(0)] = 0

    reads: ClassVar[str] = "adapters"

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        clients = sorted(vectors)
        inner = gram([vectors[client] for client in clients])
        norms = np.sqrt(np.clip(np.diag(inner), 1e-300, None))
        labels, numbers = by_distance(np.clip(1 - inner / np.outer(norms, norms), 0, 2), self.floor, self.most)
        numbers["group/floor"] = self.floor
        return Grouped({c: str(k) for c, k in zip(clients, labels.tolist(), strict=True)}, numbers)


def product(one: Adapter, other: Adapter) -> float:
    """Inner product of two effective updates, over all low-rank parts, in float64."""
    total = 0.0
    for index, part in enumerate(one.layout.parts):
        theirs = other.layout.parts[index]
        if isinstance(part, LowRank) and isinstance(theirs, LowRank):
            (b1, a1), (b2, a2) = one.factors(index), other.factors(index)
            grams = (b1.double().T @ b2.double()) * (a1.double() @ a2.double().T)
            total += part.scale * theirs.scale * float(torch.sum(grams))
        else:
            total += float(torch.sum(one.dense(index).double() * other.dense(index).double()))
    return total
