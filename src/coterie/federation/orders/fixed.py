"""The same order in every round: cyclic weight transfer, Chang et al., 2018, JAMIA 25:945."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coterie.core.errors import UserError, nearest
from coterie.core.links import Costs
from coterie.core.site import ClientId
from coterie.federation.shelves import ORDERS


@ORDERS.register("fixed")
@dataclass(frozen=True)
class Fixed:
    """One order for all rounds.

    Attributes:
        clients: everybody in the order of the relay, also who comes later or leaves; who is not there is passed over.
            Empty is the order of ids.
    """

    clients: tuple[ClientId, ...] = ()

    def path(self, clients: Sequence[ClientId], round: int, costs: Costs, seed: int) -> Sequence[ClientId]:
        if not self.clients:
            return list(clients)
        if len(set(self.clients)) < len(self.clients):
            twice = next(client for client in self.clients if self.clients.count(client) > 1)
            raise UserError(f"form.order.clients: {twice} is there twice; wanted everybody once")
        for client in clients:
            if client not in self.clients:
                raise UserError(f"form.order.clients: {client} is left out{nearest(client, self.clients)}")
        return [client for client in self.clients if client in clients]
