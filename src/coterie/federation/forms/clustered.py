"""Clustered personalisation: Li et al., 2025, arXiv:2508.04745 (whose equations are not public; our reading).

Once: clients send their encoded wishes, the server groups them and gives every group an adapter. Each round: clients
train their group's adapter, the server averages inside groups. Hybrids of groups are mixed when pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.protocols import Aggregator, ClientId, Cohort, Grouping, Keeping, Site
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation.aggregators.mean import Mean
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.keepings.ditto import Ditto
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, KEEPINGS
from coterie.federation.stable import stable_ids


class State(NamedTuple):
    """What the server knows.

    ``labels``: cluster by client. ``clusters``: adapter by cluster. ``agg``: the aggregator's state by cluster.
    ``wishes``: encoded wish by client. ``used``: cluster names given so far. ``grouped``: whether grouping is done.
    """

    root: Adapter
    labels: Mapping[ClientId, str] = {}
    clusters: Mapping[str, Adapter] = {}
    agg: Mapping[str, Any] = {}
    wishes: Mapping[ClientId, Tensor] = {}
    used: int = 0
    grouped: bool = False
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
    """

    grouping: Annotated[Grouping, GROUPINGS] = Wishes()
    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    keeping: Annotated[Keeping, KEEPINGS] = Ditto()
    fit: Fit = Fit()

    async def init(self, adapter: Adapter) -> State:
        return State(adapter)

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        if self.grouping.reads == "wishes":
            replies = await newcomers.map(self.client_wish, dict.fromkeys(newcomers))
            state = state._replace(wishes={**state.wishes, **dict(replies.items())})
            return self._regroup(state, state.wishes, newcomers)
        if self.grouping.reads == "adapters":  # until the first round everybody is one group
            return self._adopt(state, dict.fromkeys(newcomers, "all"), {})
        return self._regroup(state, {}, newcomers)

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        served = {client: self.serve(state, client) for client in cohort}
        only_sums = self.aggregator.linear and (state.grouped or self.grouping.reads != "adapters")
        part = (lambda client, update: state.labels[client]) if only_sums else None
        replies = await cohort.map(self.client_update, served, part)
        if self.grouping.reads == "adapters" and not state.grouped:
            adapters = {client: update.adapter for client, update in replies.items()}
            state = self._regroup(state, adapters, cohort)
        clusters, agg = dict(state.clusters), dict(state.agg)
        numbers: dict[str, float] = {}
        for name, group in replies.groups(state.labels).items():
            agg[name], clusters[name], noted = self.aggregator.apply(agg[name], clusters[name], group)
            numbers |= {f"{key}/{name}": value for key, value in noted.items()}
        return state._replace(clusters=clusters, agg=agg, numbers=numbers)

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
        return dict(sorted(state.clusters.items()))

    def _regroup(self, state: State, vectors: Mapping[ClientId, Any], cohort: Cohort) -> State:
        found = self.grouping.group(vectors, cohort.facts, cohort.seed)
        return self._adopt(state, found.labels, found.numbers)._replace(grouped=True)

    def _adopt(self, state: State, groups: Mapping[ClientId, str], numbers: Mapping[str, float]) -> State:
        """Names the groups stably; a cluster that is new starts from where most of its members were."""
        labels, used = stable_ids(state.labels, groups, state.used)
        clusters, agg = {}, {}
        for name in sorted(set(labels.values())):
            before = sorted({state.labels[c] for c in labels if labels[c] == name and c in state.labels})
            known = name if name in state.clusters else (before[0] if before else None)
            clusters[name] = state.clusters[known] if known else state.root
            agg[name] = state.agg[name] if name in state.agg else self.aggregator.init(clusters[name])
        return state._replace(labels=labels, used=used, clusters=clusters, agg=agg, numbers=numbers)
