"""Clustered personalisation: Li et al., 2025, arXiv:2508.04745 (whose equations are not public; our reading).

Clients send their encoded wishes, the server groups them and gives every group an adapter. Each round: clients train
their group's adapter, the server averages inside groups, and groups learn from each other. Hybrids of groups are mixed
when pictures are drawn. Whenever somebody comes, leaves or wishes for something else, groups are made anew. What the
server does at each step is in ``federation/clusters.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.groups import Grouped, Grouping, Interaction
from coterie.core.rules import Aggregator
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.core.work import Fit, Task
from coterie.federation import clusters, lives
from coterie.federation.aggregators.mean import Mean
from coterie.federation.clusters import State
from coterie.federation.drift import moved
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.interactions.none import Isolated
from coterie.federation.keepings.ditto import Ditto
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, INTERACTIONS, KEEPINGS
from coterie.federation.wish_mode import WishMode


@FORMS.register("clustered")
@dataclass(frozen=True)
class Clustered:
    """One adapter for each group of like-minded clients.

    Attributes:
        grouping: who belongs with whom.
        aggregator: how a group's replies become one adapter.
        interaction: what groups learn from each other.
        keeping: what a client keeps for itself beside it.
        wish: how an encoded wish is made coarser before a client sends it.
        fit: local training.
        regroup_every: rounds after which groups are made anew even if nobody came, left or changed a wish; 0 is never.
        margin: a client changes its group only if that is nearer than the old one by so much (cosine of centres).
    """

    grouping: Annotated[Grouping, GROUPINGS] = Wishes()
    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    interaction: Annotated[Interaction, INTERACTIONS] = Isolated()
    keeping: Annotated[Keeping, KEEPINGS] = Ditto()
    wish: WishMode = WishMode()
    fit: Fit = Fit()
    regroup_every: Annotated[int, Ge(0)] = 0
    margin: Annotated[float, Ge(0), Le(2)] = 0.05

    gives: ClassVar[Collection[str]] = ("factor", "slices")

    async def init(self, adapter: Adapter) -> State:
        return State(adapter)

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        here = newcomers.everybody
        state = state._replace(
            counts={client: fact.num_examples for client, fact in here.items()},
            answered={client: adapter for client, adapter in state.answered.items() if client in here},
        )
        wishes: dict[ClientId, Tensor] = {}
        if self.grouping.reads in ("wishes", "both"):
            replies = await newcomers.map(self.client_wish, dict.fromkeys(newcomers))
            opened = {client: self.wish.opened(sent) for client, sent in replies.items()}
            wishes = {c: w for c, w in {**state.wishes, **opened}.items() if c in here}
        if state.labels.keys() == here.keys() and not lives.moved(state.wishes, wishes):
            return state._replace(wishes=wishes)
        state = state._replace(wishes=wishes)
        if self.grouping.reads == "adapters":  # a newcomer's is known after its first round; until then the largest
            return clusters.adopt(self, state, Grouped({}, {}), {}, newcomers)  # group takes it in
        return clusters.regroup(self, state, newcomers)

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        state, asked = clusters.ask(self, state, cohort)
        only_sums = self.aggregator.linear and not asked.new  # first answers are compared one by one
        part = (lambda client, update: state.labels[client]) if only_sums else None
        tasks = {c: clusters.task(self, state, asked, c, fact.rank) for c, fact in cohort.facts.items()}
        replies = await cohort.map(self.client_update, tasks, part)
        state = clusters.learn(self, state, asked, replies, cohort)
        return clusters.average(self, state, replies, cohort.facts, asked.aside)

    async def client_update(self, site: Site, task: Task) -> Update:  # at each client
        got = await site.fit(self.keeping.begin(site, task.start), self.fit.of(task))
        await self.keeping.after_round(site, task.start, self.fit.of(task.below))
        shared = self.aggregator.report(self.keeping.share(site, got.adapter), task)
        return Update(shared, weight=got.num_examples, numbers=moved(task.start, got))

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.clusters[state.labels[client]]

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return state.labels

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return dict(sorted({**state.past, **state.clusters}.items())) if self.keeping.served_is_whole else {}

    def newborn(self, state: State) -> Adapter:
        """Where a cluster begins whose members were in none, and the first training of what is to be compared."""
        return state.root
