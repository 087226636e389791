"""The two sides of a split model as a half and a form see them; the workshop of some process computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from coterie.core.adapter import Adapter
from coterie.core.site import ClientId
from coterie.core.split import Passed
from coterie.core.work import Fit, Fitted
from coterie.engines.exchanges import Exchanges
from coterie.engines.server_fit import on_server
from coterie.engines.trampoline import Work
from coterie.models.backbone import Rows, Shaped


class AskedSide(ABC):
    """What both have of ``coterie.core.split.Side``: every verb is a piece of work that a workshop answers."""

    async def forward(self, given: Passed) -> Passed:
        activations: Passed = await self._do("forward", given=given)
        return activations

    async def loss(self, given: Passed) -> Passed:
        gradient: Passed = await self._do("loss", given=given)
        return gradient

    async def backward(self, given: Passed) -> Passed:
        gradient: Passed = await self._do("backward", given=given)
        return gradient

    async def end(self, given: Passed | None = None) -> Fitted:
        done: Fitted = await self._do("end", given=given)
        return done

    @abstractmethod
    async def _do(self, verb: str, **more: Any) -> Any:
        """The answer to a verb and what it takes, see ``coterie.bank.sides.Sides.do``."""


@dataclass(frozen=True)
class SiteSide(AskedSide):
    """At a client, for the length of a round's attempt.

    Attributes:
        client: whose it is.
        during: the attempt, as what is remembered of it is called.
        rows: what is learned from.
        drawn: the seed of a training and what of it the client can do; called once it begins.
    """

    client: ClientId
    during: str
    rows: Rows | Shaped
    drawn: Callable[[Fit], tuple[int, Fit]]

    async def begin(self, portion: Adapter, fit: Fit) -> int:
        seed, fit = self.drawn(fit)
        await self._do("begin", portion=portion, fit=fit, rows=self.rows, seed=seed)
        return fit.steps

    async def _do(self, verb: str, **more: Any) -> Any:
        return await Work("side", self.client, {"verb": verb, "during": self.during, "name": "", **more})


@dataclass(frozen=True)
class ServerSide(AskedSide):
    """At the server, which may have several, by name."""

    cohort: Exchanges = field(compare=False)
    name: str = ""

    async def begin(self, portion: Adapter, fit: Fit) -> ServerSide:
        await self._do("begin", portion=portion, fit=fit)
        return self

    async def _do(self, verb: str, **more: Any) -> Any:
        return await on_server(
            "side", {"verb": verb, "during": self.cohort.during, "name": self.name, **more}, self.cohort.round
        )
