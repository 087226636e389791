"""Clustered personalisation: Li et al., 2025, arXiv:2508.04745 (whose equations are not public; our reading).

Once: clients send their encoded wishes, the server groups them and gives every group an adapter. Each round: clients
train their group's adapter, the server averages inside groups, and groups learn from each other. Hybrids of groups are
mixed when pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.protocols import Aggregator, ClientId, Cohort, Grouping, Interaction, Keeping, Replies, Site
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation.aggregators.mean import Mean
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.interactions.none import Isolated
from coterie.federation.keepings.ditto import Ditto
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, INTERACTIONS, KEEPINGS
from coterie.federation.stable import stable_ids
from coterie.federation.wish_mode import WishMode


class State(NamedTuple):
    """What the server knows.

    ``labels``: cluster by client. ``clusters``: adapter by cluster. ``agg``: the aggregator's state by cluster.
    ``wishes``: encoded wish by client. ``used``: cluster names given so far. ``grouped``: whether grouping is done.
    ``played``: rounds so far. ``counts``: training examples by client. ``root_agg``: the aggregator's state for the
    root, where one is trained.
    """

    root: Adapter
    labels: Mapping[ClientId, str] = {}
    clusters: Mapping[str, Adapter] = {}
    agg: Mapping[str, Any] = {}
    wishes: Mapping[ClientId, Tensor] = {}
    used: int = 0
    grouped: bool = False
    played: int = 0
    counts: Mapping[ClientId, int] = {}
    root_agg: Any = None
    numbers: Mapping[str, float] = {}


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
    """

    grouping: Annotated[Grouping, GROUPINGS] = Wishes()
    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    interaction: Annotated[Interaction, INTERACTIONS] = Isolated()
    keeping: Annotated[Keeping, KEEPINGS] = Ditto()
    wish: WishMode = WishMode()
    fit: Fit = Fit()

    async def init(self, adapter: Adapter) -> State:
        return State(adapter)

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        counts = {client: fact.num_examples for client, fact in newcomers.facts.items()}
        state = state._replace(counts={**state.counts, **counts})
        if self.grouping.reads == "wishes":
            replies = await newcomers.map(self.client_wish, dict.fromkeys(newcomers))
            opened = {client: self.wish.opened(sent) for client, sent in replies.items()}
            state = state._replace(wishes={**state.wishes, **opened})
            return self._regroup(state, state.wishes, newcomers)
        if self.grouping.reads == "adapters":  # until the first round everybody is one group
            return self._adopt(state, dict.fromkeys(newcomers, "all"), {})
        return self._regroup(state, {}, newcomers)

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        served = {client: self.serve(state, client) for client in cohort}
        replies = await cohort.map(self.client_update, served)
        if self.grouping.reads == "adapters" and not state.grouped:
            adapters = {client: update.adapter for client, update in replies.items()}
            state = self._regroup(state, adapters, cohort)
        return self._averaged(state, replies)

    async def client_update(self, site: Site, w: Adapter) -> Update:  # at each client
        got = await site.fit(self.keeping.begin(site, w), self.fit)
        await self.keeping.after_round(site, w, self.fit)
        return Update(self.keeping.share(site, got.adapter), weight=got.num_examples, numbers=got.numbers)

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.clusters[state.labels[client]]

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return state.labels

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return dict(sorted(state.clusters.items())) if self.keeping.served_is_whole else {}

    def newborn(self, state: State) -> Adapter:
        """Where a cluster begins whose members were in none."""
        return state.root

    def _averaged(self, state: State, replies: Replies) -> State:
        """The mean inside each group that answered, then what groups take from each other."""
        clusters, agg = dict(state.clusters), dict(state.agg)
        numbers: dict[str, float] = {}
        for name, group in replies.groups(state.labels).items():
            agg[name], clusters[name], noted = self.aggregator.apply(agg[name], clusters[name], group)
            numbers |= {f"{key}/{name}": value for key, value in noted.items()}
        played = state.played + 1
        mixed = self.interaction.mix(clusters, centres(state), examples(state), played)
        return state._replace(clusters=mixed, agg=agg, played=played, numbers=numbers)

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
            clusters[name] = state.clusters[known] if known else self.newborn(state)
            agg[name] = state.agg[name] if name in state.agg else self.aggregator.init(clusters[name])
        return state._replace(labels=labels, used=used, clusters=clusters, agg=agg, numbers=numbers)


def centres(state: State) -> dict[str, Tensor]:
    """Mean wish of each cluster's members; empty unless every cluster has one."""
    members = {name: [c for c in state.wishes if state.labels[c] == name] for name in state.clusters}
    if not all(members.values()):
        return {}
    return {name: torch.stack([state.wishes[c] for c in them]).mean(0) for name, them in members.items()}


def examples(state: State) -> dict[str, float]:
    """Training examples of each cluster's members."""
    found = dict.fromkeys(state.clusters, 0.0)
    for client, name in state.labels.items():
        found[name] += state.counts[client]
    return found
