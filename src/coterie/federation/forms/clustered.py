"""Clustered personalisation: Li et al., 2025, arXiv:2508.04745 (whose equations are not public; our reading).

Clients send their encoded wishes, the server groups them and gives every group an adapter. Each round: clients train
their group's adapter, the server averages inside groups. Hybrids of groups are mixed when pictures are drawn. Whenever
somebody comes, leaves or wishes for something else, groups are made anew; what passes on is in ``federation/lives.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Le
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.protocols import Aggregator, ClientId, Cohort, Grouped, Grouping, Keeping, Site
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation import lives
from coterie.federation.aggregators.mean import Mean
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.keepings.ditto import Ditto
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, KEEPINGS


class State(NamedTuple):
    """What the server knows.

    ``labels``: cluster by client. ``clusters``: adapter by cluster. ``agg``: the aggregator's state by cluster.
    ``wishes``: encoded wish by client. ``used``: cluster names given so far. ``grouped``: whether all who are there
    have been grouped. ``played``: rounds so far; ``regrouped``: how many of them at the last grouping. ``past``:
    adapters of clusters that everybody left.
    """

    root: Adapter
    labels: Mapping[ClientId, str] = {}
    clusters: Mapping[str, Adapter] = {}
    agg: Mapping[str, Any] = {}
    wishes: Mapping[ClientId, Tensor] = {}
    used: int = 0
    grouped: bool = False
    played: int = 0
    regrouped: int = 0
    past: Mapping[str, Adapter] = {}
    numbers: Mapping[str, float] = {}


@FORMS.register("clustered")
@dataclass(frozen=True)
class Clustered:
    """One adapter for each group of like-minded clients.

    Attributes:
        grouping: who belongs with whom.
        aggregator: how a group's replies become one adapter.
        keeping: what a client keeps for itself beside it.
        fit: local training.
        regroup_every: rounds after which groups are made anew even if nobody came, left or changed a wish; 0 is never.
        margin: a client changes its group only if that is nearer than the old one by so much (cosine of centres).
    """

    grouping: Annotated[Grouping, GROUPINGS] = Wishes()
    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    keeping: Annotated[Keeping, KEEPINGS] = Ditto()
    fit: Fit = Fit()
    regroup_every: Annotated[int, Ge(0)] = 0
    margin: Annotated[float, Ge(0), Le(2)] = 0.05

    async def init(self, adapter: Adapter) -> State:
        return State(adapter)

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        here = newcomers.everybody
        wishes: dict[ClientId, Tensor] = {}
        if self.grouping.reads == "wishes":
            replies = await newcomers.map(self.client_wish, dict.fromkeys(newcomers))
            wishes = {c: w for c, w in {**state.wishes, **dict(replies.items())}.items() if c in here}
        if state.labels.keys() == here.keys() and not lives.moved(state.wishes, wishes):
            return state._replace(wishes=wishes)
        state = state._replace(wishes=wishes)
        if self.grouping.reads == "adapters":  # known after the next round; until then the largest group takes them in
            return self._adopt(state, Grouped({}, {}), {}, newcomers)._replace(grouped=False)
        return self._regroup(state, wishes, newcomers)

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        again = bool(self.regroup_every) and state.played - state.regrouped >= self.regroup_every
        before = state.numbers
        if again and self.grouping.reads != "adapters":
            state = self._regroup(state, state.wishes, cohort)
        served = {client: self.serve(state, client) for client in cohort}
        replies = await cohort.map(self.client_update, served)
        if self.grouping.reads == "adapters" and (again or not state.grouped):
            adapters = {client: update.adapter for client, update in replies.items()}
            state = self._regroup(state, adapters, cohort)
        clusters, agg = dict(state.clusters), dict(state.agg)
        numbers = {} if state.numbers is before else dict(state.numbers)
        for name, group in replies.groups(state.labels).items():
            agg[name], clusters[name], noted = self.aggregator.apply(agg[name], clusters[name], group)
            numbers |= {f"{key}/{name}": value for key, value in noted.items()}
        return state._replace(clusters=clusters, agg=agg, played=state.played + 1, numbers=numbers)

    async def client_update(self, site: Site, w: Adapter) -> Update:  # at each client
        got = await site.fit(w, self.fit)
        await self.keeping.after_round(site, w, self.fit)
        return Update(got.adapter, weight=got.num_examples, numbers=got.numbers)

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.clusters[state.labels[client]]

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return state.labels

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return dict(sorted({**state.past, **state.clusters}.items()))

    def _regroup(self, state: State, vectors: Mapping[ClientId, Any], cohort: Cohort) -> State:
        found = self.grouping.group(vectors, cohort.everybody, cohort.seed)
        return self._adopt(state, found, vectors, cohort)._replace(grouped=True, regrouped=state.played)

    def _adopt(self, state: State, found: Grouped, vectors: Mapping[ClientId, Any], cohort: Cohort) -> State:
        """Names the groups, and gives each what it inherits."""
        here, margin = cohort.everybody, self.margin if state.played else None
        labels, used = lives.regrouped(state.labels, found.labels, vectors, here, state.used, margin)
        inherits = lives.parents(state.labels, labels, here)
        old = lives.Estate(dict(state.clusters), dict(state.agg), dict(state.past))
        new = lives.passed_on(old, inherits, state.root, self.aggregator.init)
        numbers = {**found.numbers, **lives.told(state.labels, labels)}
        return state._replace(**new._asdict(), labels=labels, used=used, numbers=numbers)
