"""Groups by wishes and by what training did: a weighted mean of both cosines.

Until anybody has trained, wishes alone decide. The cosines are those of ``wishes`` and of ``weights``, and their mean
is again one of vectors, those of both laid end to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from coterie.core.groups import Grouped, Split
from coterie.core.site import ClientId, Facts
from coterie.federation.groupings import weights, wishes
from coterie.federation.shelves import GROUPINGS, SPLITS
from coterie.federation.splits.agglomerative import Agglomerative


@GROUPINGS.register("both")
@dataclass(frozen=True)
class Both:
    """Clients who wish alike and whose first training changed the model alike.

    Attributes:
        share: of the wishes in the mean; the rest is the adapters'.
        split: how clusters are cut out of the similarities.
    """

    share: Annotated[float, Ge(0), Le(1)] = 0.5
    split: Annotated[Split, SPLITS] = Agglomerative()

    reads: ClassVar[str] = "both"

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        """``vectors`` are pairs of a wish and a change, or None; once there are changes, who has none is left out."""
        clients = sorted(c for c, (_, change) in vectors.items() if change is not None)
        if not clients:
            clients = sorted(vectors)
            return wishes.cut(self.split, clients, wishes.cosines(vectors[c][0] for c in clients), seed)
        wished = wishes.cosines(vectors[c][0] for c in clients)
        learned = weights.cosines([vectors[c][1] for c in clients])
        return wishes.cut(self.split, clients, self.share * wished + (1 - self.share) * learned, seed)
