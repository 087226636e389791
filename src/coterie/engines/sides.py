"""The two sides of a split model as a half and a form see them; the workshop of some process computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from coterie.core.adapter import Adapter
from coterie.core.split import Passed
from coterie.core.work import Fit, Fitted
from coterie.engines.memory import version_of
from coterie.engines.server_fit import on_server
from coterie.engines.trampoline import Work

if TYPE_CHECKING:
    from coterie.core.replies import Half
    from coterie.core.site import ClientId
    from coterie.engines.cohort import RoundCohort
    from coterie.engines.replies import ReplyMap, SumMap
    from coterie.engines.site import OpenSite


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
    """At a client, for the length of a round's attempt."""

    site: OpenSite

    async def begin(self, portion: Adapter, fit: Fit) -> int:
        seed, fit = self.site.draws(fit)
        fit = fit if self.site.num_examples else replace(fit, steps=0)
        await self._do("begin", portion=portion, fit=fit, rows=self.site.host.belongings.train, seed=seed)
        self.site.trained += fit.steps * fit.batch
        return fit.steps

    async def _do(self, verb: str, **more: Any) -> Any:
        header = self.site.header
        during = version_of(header.round, header.attempt)
        return await Work("side", self.site.client, {"verb": verb, "during": during, "name": "", **more})


@dataclass(frozen=True)
class ServerSide(AskedSide):
    """At the server, which may have several, by name."""

    cohort: RoundCohort = field(compare=False)
    name: str = ""

    async def begin(self, portion: Adapter, fit: Fit) -> ServerSide:
        await self._do("begin", portion=portion, fit=fit)
        return self

    async def _do(self, verb: str, **more: Any) -> Any:
        during = version_of(self.cohort.round, self.cohort.attempt)
        return await on_server("side", {"verb": verb, "during": during, "name": self.name, **more}, self.cohort.round)


async def step(cohort: RoundCohort, half: Half, inputs: Mapping[ClientId, Any]) -> ReplyMap | SumMap:
    """See ``coterie.core.links.Links.step``."""
    going = replace(cohort, required=False, enough={})
    replies = await going.map(half, inputs)
    cohort.call = going.call
    cohort.lost |= replies.failures
    return replies
