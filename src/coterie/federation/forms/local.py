"""No collaboration: everybody trains alone. The baseline that every form must beat.

Over one pooled client this is central training, which only a simulation can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.site import ClientId, Site
from coterie.core.work import Fit
from coterie.federation.shelves import FORMS


class State(NamedTuple):
    """The common start; what clients learn stays with them."""

    start: Adapter
    numbers: Mapping[str, float] = {}


@FORMS.register("local")
@dataclass(frozen=True)
class Local:
    """Each client trains its own adapter, round after round, and sends only numbers.

    Attributes:
        fit: local training of a round.
    """

    fit: Fit = Fit()

    trains_alone: ClassVar[bool] = True
    needs_single_replies: ClassVar[bool] = True  # there is nothing to sum up

    async def init(self, adapter: Adapter) -> State:
        return State(adapter)

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        return state

    async def round(self, state: State, cohort: Cohort) -> State:
        replies = await cohort.map(self.client_update, dict.fromkeys(cohort, state.start))
        return State(state.start, {f"loss/{c}": numbers["loss/last"] for c, numbers in replies.items() if numbers})

    async def client_update(self, site: Site, start: Adapter) -> Mapping[str, float]:
        got = await site.fit(site.memory.get("personal", start), self.fit)
        site.memory["personal"] = got.adapter
        return got.numbers

    def serve(self, state: State, client: ClientId) -> Adapter:
        return state.start

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:
        personal: Adapter = site.memory.get("personal", served)
        return personal

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return {}

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return {}
