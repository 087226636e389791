"""Federated averaging: McMahan et al., AISTATS 2017, arXiv:1602.05629, Algorithm 1, on adapters (FedGen-Edge)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.rules import Aggregator
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.core.work import Fit, Task
from coterie.federation.aggregators.mean import Mean
from coterie.federation.drift import drift, moved
from coterie.federation.keepings.none import Nothing
from coterie.federation.shelves import AGGREGATORS, FORMS, KEEPINGS


class State(NamedTuple):
    """The global adapter, the aggregator's state and the last round's numbers."""

    w: Adapter
    agg: Any = None
    numbers: Mapping[str, float] = {}


@FORMS.register("fedavg")
@dataclass(frozen=True)
class FedAvg:
    """One adapter for everybody, averaged each round.

    Attributes:
        aggregator: how the replies become one adapter.
        keeping: what a client keeps for itself beside it.
        fit: local training.
    """

    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    keeping: Annotated[Keeping, KEEPINGS] = Nothing()
    fit: Fit = Fit()

    gives: ClassVar[Collection[str]] = ("factor", "below", "slices", "answer")
    one_adapter: ClassVar[bool] = True

    async def init(self, adapter: Adapter) -> State:
        return State(adapter, self.aggregator.init(adapter))

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        return state

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        part = (lambda client, update: "global") if self.aggregator.linear else None
        tasks = {c: self.aggregator.task(state.agg, state.w, fact.rank) for c, fact in cohort.facts.items()}
        replies = trained = await cohort.map(self.client_update, tasks, part)
        agg, question = self.aggregator.question(state.agg, trained)
        if question is not None:
            replies = await cohort.map(self.client_answer, dict.fromkeys(trained, question), part)
        agg, w, numbers = self.aggregator.apply(agg, state.w, replies)
        before, after = self.aggregator.served(state.agg, state.w), self.aggregator.served(agg, w)
        return State(w, agg, {**numbers, **drift(before, after, trained, cohort.facts)})

    async def client_update(self, site: Site, task: Task) -> Update:  # at each client
        got = await site.fit(self.keeping.begin(site, task.start), self.fit.of(task))
        await self.keeping.after_round(site, task.start, self.fit.of(task.below))
        shared = self.keeping.share(site, got.adapter)
        if self.aggregator.asks == "answer":
            site.memory["shared"] = shared
        return Update(self.aggregator.report(shared, task), weight=got.num_examples, numbers=moved(task.start, got))

    async def client_answer(self, site: Site, question: Any) -> Update:  # at each client, where a rule asks once more
        shared = site.memory.pop("shared")
        return Update(self.aggregator.answer(shared, question), weight=site.num_examples)

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return self.aggregator.served(state.agg, state.w)

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return {}

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return {"global": self.aggregator.served(state.agg, state.w)} if self.keeping.served_is_whole else {}
