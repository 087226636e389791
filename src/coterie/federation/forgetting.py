"""How much worse a relayed adapter fares on pictures of those whom it has left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.replies import Half
from coterie.core.site import ClientId

AFTER = "after"  # among a client's numbers: its held-out loss right after its own visit


class Watch:
    """``F_k = loss_k(now) - loss_k(right after k trained)`` over those a relay has visited.

    Args:
        cohort: of the round.
        look: half that gives a client's held-out loss under an adapter.
        when: ``hop`` measures after every hop and at the end of the round, ``round`` only at the end, ``never`` not.
    """

    def __init__(self, cohort: Cohort, look: Half, when: str) -> None:
        self.cohort, self.look, self.when = cohort, look, when
        self.visited: list[ClientId] = []
        self.found: dict[str, float] = {}

    async def seen(self, client: ClientId, token: Mapping[str, Any]) -> None:
        """After a hop: the mean of all visited before is noted as ``forgetting/hop-NN``."""
        if self.when == "hop" and (worse := await self.worse(token["v"], token["told"])):
            self.found[f"forgetting/hop-{len(self.visited) + 1:02d}"] = sum(worse.values()) / len(worse)
        self.visited.append(client)

    async def numbers(self, v: Adapter, told: Mapping[ClientId, Mapping[str, float]]) -> Mapping[str, float]:
        """All that is known at the end of a round, whose adapter is ``v``: by client and ``forgetting``, their mean."""
        if self.when != "never" and (worse := await self.worse(v, told)):
            self.found |= {f"forgetting/{client}": value for client, value in worse.items()}
            self.found["forgetting"] = sum(worse.values()) / len(worse)
        return self.found

    async def worse(self, v: Adapter, told: Mapping[ClientId, Mapping[str, float]]) -> dict[ClientId, float]:
        """By client visited so far that has held-out pictures."""
        losses = await self.cohort.look(self.look, {client: v for client in self.visited if AFTER in told[client]})
        return {client: loss - told[client][AFTER] for client, loss in losses.items()}
