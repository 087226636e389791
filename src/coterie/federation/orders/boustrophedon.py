"""There and back, as the ox ploughs: every other round in reverse, so that first and last take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coterie.core.links import Costs
from coterie.core.site import ClientId
from coterie.federation.shelves import ORDERS


@ORDERS.register("boustrophedon")
@dataclass(frozen=True)
class Boustrophedon:
    """In order of ids, then back, then again."""

    def path(self, clients: Sequence[ClientId], round: int, costs: Costs, seed: int) -> Sequence[ClientId]:
        return list(reversed(clients)) if round % 2 else list(clients)
