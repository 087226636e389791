"""IFCA: Ghosh, Chung, Yin and Ramchandran, NeurIPS 2020, arXiv:2006.04088, Algorithm 1 with model averaging.

Each round: the server sends all K adapters; every client takes the one with the smallest loss on its own training
pictures, trains it and says which it was; the server averages each over those who took it. The paper starts from K
random models. Adapters begin at the same point, whatever their factors: all losses are equal there, and nothing would
ever part them. So rounds of federated averaging come first, the last of which parts them (``federation/parting.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.rules import Aggregator
from coterie.core.site import ClientId, Facts, Site
from coterie.core.update import Update
from coterie.core.work import Fit, Task
from coterie.federation import parting
from coterie.federation.aggregators.mean import Mean
from coterie.federation.keepings.none import Nothing
from coterie.federation.parting import State
from coterie.federation.shelves import AGGREGATORS, FORMS, KEEPINGS


@FORMS.register("ifca")
@dataclass(frozen=True)
class Ifca:
    """Several adapters, and in every round each client takes the one that suits its own pictures best.

    A client is sent all of them, so downlink is ``clusters`` times as much. Sizes are logged as
    ``group/size/NAME``; a cluster that nobody takes keeps its adapter.

    Attributes:
        clusters: how many adapters, at most one for each client.
        warm: rounds of federated averaging at the beginning, the last of which parts the clusters.
        levels: noise levels at which a client compares adapters on each of its pictures.
        aggregator: how the replies of a cluster become one adapter.
        keeping: what a client keeps for itself beside it.
        fit: local training.
    """

    clusters: Annotated[int, Ge(1)] = 4
    warm: Annotated[int, Ge(1)] = 1
    levels: Annotated[int, Ge(1)] = 4
    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    keeping: Annotated[Keeping, KEEPINGS] = Nothing()
    fit: Fit = Fit()

    needs_single_replies: ClassVar[bool] = True
    gives: ClassVar[Collection[str]] = ("factor", "slices")

    async def init(self, adapter: Adapter) -> State:
        return State(adapter, agg={"global": self.aggregator.init(adapter)})

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        here = newcomers.everybody
        self.require_people(here, newcomers.seed, not state.played)
        return state._replace(labels={client: name for client, name in state.labels.items() if client in here})

    def require_people(self, here: Mapping[ClientId, Facts], seed: int, first: bool) -> None:
        if first:
            parting.require(self.clusters, len(here), "clients", "lower it")

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        if not state.clusters:
            return await parting.common_round(self, state, cohort)
        names = list(state.clusters)
        tasks = {
            client: [self.aggregator.task(state.agg[name], w, fact.rank) for name, w in state.clusters.items()]
            for client, fact in cohort.facts.items()
        }

        def chosen(client: ClientId, update: Update) -> str:
            return names[int(update.numbers["ifca/choice"])]

        replies = await cohort.map(self.client_choose, tasks, chosen if self.aggregator.linear else None)
        choices = {client: names[int(told["ifca/choice"])] for client, told in replies.numbers.items()}
        state = parting.averaged(self, state, choices, replies)
        losses = [told["ifca/loss"] for told in replies.numbers.values()]
        return state._replace(numbers={**state.numbers, "ifca/loss": sum(losses) / max(1, len(losses))})

    async def client_choose(self, site: Site, clusters: list[Task]) -> Update:  # at each client, once they parted
        losses = await site.score([self.keeping.begin(site, task.start) for task in clusters], self.levels)
        choice = int(losses.argmin())  # of equal ones the first
        update = await self.client_update(site, clusters[choice])
        numbers = {**update.numbers, "ifca/choice": float(choice), "ifca/loss": float(losses[choice])}
        return Update(update.adapter, update.weight, numbers)

    async def client_update(self, site: Site, task: Task) -> Update:  # at each client, while there is one adapter
        got = await site.fit(self.keeping.begin(site, task.start), self.fit.of(task))
        await self.keeping.after_round(site, task.start, self.fit.of(task.below))
        shared = self.aggregator.report(self.keeping.share(site, got.adapter), task)
        return Update(shared, weight=got.num_examples, numbers=got.numbers)

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.clusters[state.labels[client]] if client in state.labels else state.root

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return state.labels

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return dict(state.clusters) or {"global": state.root} if self.keeping.served_is_whole else {}
