"""Groups of given sizes, members drawn at random: the control that clustered training must beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from coterie.core.errors import UserError
from coterie.core.groups import Grouped
from coterie.core.seeds import seed_for
from coterie.core.site import ClientId, Facts
from coterie.federation.shelves import GROUPINGS


@GROUPINGS.register("random")
@dataclass(frozen=True)
class Random:
    """Shuffles clients into groups.

    Attributes:
        sizes: of the groups, as another grouping found them; they must add up to the number of clients. None are those
            of the true groups, which only a simulation knows.
    """

    sizes: tuple[int, ...] = (3, 3, 3, 3)

    reads: ClassVar[str] = "nothing"

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        clients = sorted(facts)
        sizes = self.sizes or _true_sizes(facts)
        if sum(sizes) != len(clients):
            raise UserError(f"form.grouping.sizes: {list(sizes)} add up to {sum(sizes)}, not {len(clients)} clients")
        order = np.random.default_rng(seed_for(seed, 0, "", "grouping")).permutation(len(clients))
        names = [str(k) for k, size in enumerate(sizes) for _ in range(size)]
        labels = {clients[i]: name for i, name in zip(order.tolist(), names, strict=True)}
        return Grouped(dict(sorted(labels.items())), {"group/count": float(len(sizes))})


def _true_sizes(facts: Mapping[ClientId, Facts]) -> tuple[int, ...]:
    truths = [fact.truth for _, fact in sorted(facts.items())]
    if None in truths:
        raise UserError("form.grouping.sizes: no true groups are known here; say how large the groups are")
    return tuple(truths.count(truth) for truth in dict.fromkeys(truths))
