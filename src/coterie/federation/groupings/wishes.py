"""Groups by encoded wishes, by their cosines.

Paper A (arXiv:2508.04745) groups clients by the similarity of their uploaded task requirements and does not say how.
The floors of the splits were calibrated on wishes of invented people (``tools/calibrate_wishes.py``), never on those
of the studio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from coterie.core.groups import Grouped, Split
from coterie.core.site import ClientId, Facts
from coterie.federation.shelves import GROUPINGS, SPLITS
from coterie.federation.silhouette import Matrix
from coterie.federation.splits.agglomerative import Agglomerative

FORMER = {"floor": "split.floor", "loner": "split.loner", "most": "split.most"}  # recipes that were written before


@GROUPINGS.register("wishes")
@dataclass(frozen=True)
class Wishes:
    """Clients whose encoded wishes point the same way.

    Attributes:
        split: how clusters are cut out of the similarities.
    """

    split: Annotated[Split, SPLITS] = Agglomerative()

    reads: ClassVar[str] = "wishes"
    former: ClassVar[Mapping[str, str]] = FORMER

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        clients = sorted(vectors)
        return cut(self.split, clients, cosines(vectors[c] for c in clients), seed)


def cosines(wishes: Iterable[Any]) -> Matrix:
    """Cosines ``(n, n)`` of wish vectors."""
    unit = np.stack([np.asarray(wish, dtype=np.float64) for wish in wishes])
    unit /= np.clip(np.linalg.norm(unit, axis=1, keepdims=True), 1e-150, None)
    return unit @ unit.T


def cut(split: Split, clients: list[ClientId], similarity: Matrix, seed: int) -> Grouped:
    """What a split makes of the similarities of clients, which are in order of their ids."""
    labels, numbers = split.split(similarity, seed)
    groups = {client: str(label) for client, label in zip(clients, labels.tolist(), strict=True)}
    return Grouped(groups, {**numbers, "group/count": float(len(set(groups.values())))})
