"""The two sides of a split model as a half and a form see them; the workshop of some process computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.split import Passed
from coterie.core.work import Fit, Fitted
from coterie.engines.memory import version_of
from coterie.engines.trampoline import SERVER, Work

if TYPE_CHECKING:
    from coterie.core.cohort import Half
    from coterie.core.site import ClientId
    from coterie.engines.cohort import RoundCohort
    from coterie.engines.replies import ReplyMap, SumMap
    from coterie.engines.site import OpenSite


@dataclass(frozen=True)
class SiteSide:
    """At a client, for the length of a round's attempt."""

    site: OpenSite

    async def begin(self, portion: Adapter, fit: Fit) -> int:
        seed, fit = self.site.draws(fit)
        fit = fit if self.site.num_examples else replace(fit, steps=0)
        await self._do("begin", portion=portion, fit=fit, rows=self.site.host.belongings.train, seed=seed)
        self.site.trained += fit.steps * fit.batch
        return fit.steps

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

    async def _do(self, verb: str, **more: Any) -> Any:
        header = self.site.header
        during = version_of(header.round, header.attempt)
        return await Work("side", self.site.client, {"verb": verb, "during": during, "name": "", **more})


@dataclass(frozen=True)
class ServerSide:
    """At the server, which may have several, by name."""

    cohort: RoundCohort = field(compare=False)
    name: str = ""

    async def begin(self, portion: Adapter, fit: Fit) -> ServerSide:
        await self._do("begin", portion=portion, fit=fit)
        return self

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

    async def _do(self, verb: str, **more: Any) -> Any:
        number = self.cohort.round
        asked = {"verb": verb, "during": version_of(number, self.cohort.attempt), "name": self.name, **more}
        try:
            return await Work("side", SERVER, asked)
        except UserError:
            raise
        except Exception as error:  # a number that is none
            raise UserError(f"round {number}: the server's training ended: {error}") from error


async def step(cohort: RoundCohort, half: Half, inputs: Mapping[ClientId, Any]) -> ReplyMap | SumMap:
    """See ``coterie.core.links.Links.step``."""
    going = replace(cohort, required=False, enough={})
    replies = await going.map(half, inputs)
    cohort.call = going.call
    cohort.lost |= replies.failures
    return replies
