"""A fresh order each round: the case study of Huang et al., 2023, arXiv:2307.07146, which leaves the choice open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coterie.core.links import Costs
from coterie.core.seeds import seed_for
from coterie.core.site import ClientId
from coterie.federation.shelves import ORDERS


@ORDERS.register("random")
@dataclass(frozen=True)
class Random:
    """Every order is as likely as any other, drawn anew in every round, so that nobody is always the last."""

    def path(self, clients: Sequence[ClientId], round: int, costs: Costs, seed: int) -> Sequence[ClientId]:
        rng = np.random.default_rng(seed_for(seed, round, "", "relay"))
        return [clients[i] for i in rng.permutation(len(clients))]
