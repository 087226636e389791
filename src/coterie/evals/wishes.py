"""How well wishes find the true groups, in whatever words they are put: only a simulation can know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from coterie.core.groups import Grouping
from coterie.core.site import Facts, Site

KINDS = ("named", "paraphrased", "purpose")


@dataclass(frozen=True)
class Listener:
    """Asks sites for their wish in other words; grouping never sees these."""

    async def client_wish(self, site: Site, kind: str) -> Tensor | None:
        return await site.describe(kind) if kind in site.wish_kinds else None


def agreement(
    grouping: Grouping, vectors: Mapping[str, Tensor], facts: Mapping[str, Facts], seed: int
) -> dict[str, Any]:
    """Groups found in some wishes, and their adjusted Rand index against the truth (1 is perfect, 0 is chance).

    Source: Hubert and Arabie, Journal of Classification, 1985.
    """
    from sklearn.metrics import adjusted_rand_score

    found = grouping.group(vectors, facts, seed)
    clients = sorted(vectors)
    truth = [str(facts[c].truth) for c in clients]
    labels = [found.labels[c] for c in clients]
    score = float(adjusted_rand_score(truth, labels))
    return {"ari": score, "clusters": len(set(labels)), "silhouette": found.numbers.get("group/silhouette")}
