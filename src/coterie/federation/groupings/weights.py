"""Groups by what training did: cosine of changes of the effective update, ``<D_i, D_j> / (|D_i| |D_j|)``.

A change is what a client's first training made of the common start, from ``b_0 a_0`` to ``b a``. The inner product is
taken on factors, ``sum((b_i^T b_j) * (a_i a_j^T))``, so no dense update is formed and the gauge does not matter.
LoRA weights cluster by artistic style: arXiv:2412.12048.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch

from coterie.core.adapter import Adapter, LowRank
from coterie.core.groups import Grouped, Split
from coterie.core.site import ClientId, Facts
from coterie.federation.groupings.wishes import FORMER, cut
from coterie.federation.shelves import GROUPINGS, SPLITS
from coterie.federation.silhouette import Matrix
from coterie.federation.splits.agglomerative import Agglomerative

BLOCK = 64  # changes of which all pairs with all others are multiplied at once


@GROUPINGS.register("weights")
@dataclass(frozen=True)
class Weights:
    """Clients whose first training changed the model alike.

    Attributes:
        split: how clusters are cut out of the similarities. The floors of the splits were calibrated on wishes,
            not on adapters; here the default is average linkage with a floor of 0.05.
    """

    split: Annotated[Split, SPLITS] = Agglomerative(floor=0.05)

    reads: ClassVar[str] = "adapters"
    former: ClassVar[Mapping[str, str]] = FORMER

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        clients = sorted(vectors)
        return cut(self.split, clients, cosines([vectors[c] for c in clients]), seed)


def cosines(changes: Sequence[tuple[Adapter, Adapter]]) -> Matrix:
    """Cosines ``(n, n)`` of changes, each an adapter before and after; one that changed nothing is like nobody."""
    inner = products(changes)
    norms = np.sqrt(np.clip(np.diag(inner), 1e-300, None))
    similarity: Matrix = inner / np.outer(norms, norms)
    return similarity


def products(changes: Sequence[tuple[Adapter, Adapter]]) -> Matrix:
    """Inner products ``(n, n)`` of changes of effective updates, over all parts, in float64.

    The change of a low-rank part is itself low-rank, ``[b, -b_0] [a; a_0]``; a start of zeros is left out. Ranks and
    scales may differ. What is in memory at once is the factors of ``BLOCK`` changes by those of all.
    """
    count = len(changes)
    total = np.zeros((count, count))
    for index, part in enumerate(changes[0][1].layout.parts):
        if not isinstance(part, LowRank):
            flat = torch.stack([(e.dense(index).double() - s.dense(index).double()).flatten() for s, e in changes])
            total += (flat @ flat.T).numpy()
            continue
        left, right, ends = [], [], [0]
        for start, end in changes:
            factors = [_scaled(end, index, 1.0)]
            if start.factors(index)[0].any():
                factors.append(_scaled(start, index, -1.0))
            left += [b for b, _ in factors]
            right += [a for _, a in factors]
            ends.append(ends[-1] + sum(len(a) for _, a in factors))
        b, a = torch.cat(left, 1), torch.cat(right, 0)
        for begin in range(0, count, BLOCK):
            stop = min(begin + BLOCK, count)
            some, first = slice(ends[begin], ends[stop]), ends[begin]
            grams = ((b[:, some].T @ b) * (a[some] @ a.T)).numpy()
            inside = np.add.reduceat(grams, [end - first for end in ends[begin:stop]], axis=0)
            total[begin:stop] += np.add.reduceat(inside, ends[:-1], axis=1)
    return total


def product(one: Adapter, other: Adapter) -> float:
    """Inner product of two effective updates, over all parts, in float64."""
    return float(products([(adapter.layout.zeros(), adapter) for adapter in (one, other)])[0, 1])


def _scaled(adapter: Adapter, index: int, sign: float) -> tuple[torch.Tensor, torch.Tensor]:
    part = adapter.layout.parts[index]
    assert isinstance(part, LowRank)
    b, a = adapter.factors(index)
    return sign * part.scale * b.double(), a.double()
