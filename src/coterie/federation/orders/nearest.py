"""Always on to the nearest who was not visited yet: the greedy path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coterie.core.errors import UserError
from coterie.core.links import Costs
from coterie.core.seeds import seed_for
from coterie.core.site import ClientId
from coterie.federation.shelves import ORDERS


@ORDERS.register("nearest")
@dataclass(frozen=True)
class Nearest:
    """The first is drawn anew in every round; of equally near ones the first by id comes next."""

    def path(self, clients: Sequence[ClientId], round: int, costs: Costs, seed: int) -> Sequence[ClientId]:
        require_costs(clients, costs, "nearest")
        rng = np.random.default_rng(seed_for(seed, round, "", "relay"))
        return greedy(clients[int(rng.integers(len(clients)))], clients, costs)


def greedy(first: ClientId, clients: Sequence[ClientId], costs: Costs) -> list[ClientId]:
    """The greedy path from a first client."""
    path, left = [first], sorted(set(clients) - {first})
    while left:
        here = path[-1]
        path.append(min(left, key=lambda client: costs[here, client]))
        left.remove(path[-1])
    return path


def require_costs(clients: Sequence[ClientId], costs: Costs, name: str) -> None:
    """Refuses an order by distance where nobody knows where clients are."""
    if len(clients) > 1 and not costs:
        raise UserError(
            f"form.order: {name} asks how far clients are from each other, which nobody knows; set devices.area, or "
            "take random"
        )
