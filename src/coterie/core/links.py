"""Ways in which a cohort's messages travel that are not one exchange between the server and a client."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal, Protocol

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.replies import Half, Replies
from coterie.core.site import ClientId, Facts
from coterie.core.split import Portions, Side
from coterie.core.work import Fit, Fitted

Costs = Mapping[tuple[ClientId, ClientId], float]
"""What a hop from one client to another costs, by pair; empty where nobody knows."""

Seen = Callable[[ClientId, Any], Awaitable[None]]
"""Called after every hop with the client and what it passes on, for a simulation to look at."""


class Order(Protocol):
    """In which order a relay visits its clients."""

    def path(self, clients: Sequence[ClientId], round: int, costs: Costs, seed: int) -> Sequence[ClientId]:
        """Every client once.

        Args:
            clients: of the round, in order of ids.
            round: rounds played before this one.
            costs: of hops between any two of them.
            seed: of the run.

        Raises:
            UserError: if the order needs to know what it does not.
        """
        ...


@dataclass(frozen=True)
class Relayed:
    """What came back of a relay.

    Attributes:
        value: what the last client returned.
        answered: who returned something, in the order of the relay.
        failures: why each of the others did not.
    """

    value: Any
    answered: Sequence[ClientId]
    failures: Mapping[ClientId, str]


class Links(Protocol):
    """What a cohort can do besides ``map``. All of it crosses bytes and is counted."""

    async def relay(self, half: Half, path: Sequence[ClientId], value: Any, seen: Seen | None = None) -> Relayed:
        """Runs a half at one client after another: the first is sent ``value``, each other what its predecessor made.

        What the last one made goes to the server. Devices hand over directly (``across``) where they reach each other,
        else by the server, which is two transfers of the ordinary link. Who does not answer is passed over.

        Raises:
            UserError: if the path names somebody who is not in the cohort, or too few answered.
        """
        ...

    async def look(self, half: Half, inputs: Mapping[ClientId, Any]) -> Replies:
        """Like ``map``, to measure: sites know what they learned in this round and remember nothing of being asked."""
        ...

    async def step(self, half: Half, inputs: Mapping[ClientId, Any]) -> Replies:
        """Like ``map``, in mid-round: who does not answer is out, and is missed when a ``map`` counts the answers."""
        ...

    @property
    def portions(self) -> Portions:
        """Which layers of the adapter are trained where, for a form that splits the model."""
        ...

    async def side(self, portion: Adapter, fit: Fit, name: str = "") -> Side:
        """The server's side of a split model, or one of several by name, begun anew with a portion of the adapter."""
        ...

    def backhaul(self, direction: Literal["up", "down"], values: Mapping[str, Any]) -> Replies:
        """What passes between edge servers and the cloud above them, by edge, as it arrives."""
        ...

    async def train(self, start: Adapter, fit: Fit, rows: Sequence[Mapping[str, Tensor]]) -> Fitted:
        """Training on the server itself, of rows that clients have sent for it, one mapping for each shape."""
        ...


def distances(facts: Mapping[ClientId, Facts]) -> Costs:
    """Metres between any two clients; empty unless everybody's place is known."""
    places = {client: fact.place for client, fact in facts.items() if fact.place is not None}
    if len(places) < len(facts):
        return {}
    return {(one, other): math.dist(places[one], places[other]) for one, other in permutations(sorted(places), 2)}
