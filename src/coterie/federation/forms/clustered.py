"""Clustered personalisation: Li et al., 2025, arXiv:2508.04745 (whose equations are not public; our reading).

Once: clients send their encoded wishes, the server groups them and gives every group an adapter. Each round: clients
train their group's adapter, the server averages inside groups, and groups learn from each other. Hybrids of groups are
mixed when pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
from coterie.federation.stable import loners, stable_ids
from coterie.federation.wish_mode import WishMode


class State(NamedTuple):
    """What the server knows.

    ``labels``: cluster by client. ``clusters``: adapter by cluster. ``agg``: the aggregator's state by cluster.
    ``wishes``: encoded wish by client. ``used``: cluster names given so far. ``grouped``: whether grouping is done.
    ``played``: rounds so far. ``counts``: training examples by client. ``root_agg``: the aggregator's state for the
    root, where one is trained. ``answered``: by client what its first training made of the common start, or None if it
    had no example; kept only while adapters are to be compared and somebody has not answered.
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
    answered: Mapping[ClientId, Any] = {}


class Asked(NamedTuple):
    """A round's ``starts`` by client; ``new`` ones answer for the first time, and ``aside`` are not averaged."""

    starts: Mapping[ClientId, Adapter]
    new: Collection[ClientId]
    aside: Mapping[ClientId, str]


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
        if self.grouping.reads in ("wishes", "both"):
            replies = await newcomers.map(self.client_wish, dict.fromkeys(newcomers))
            opened = {client: self.wish.opened(sent) for client, sent in replies.items()}
            state = state._replace(wishes={**state.wishes, **opened})
        if self.grouping.reads == "adapters":  # until the first round everybody is one group
            return self._adopt(state, dict.fromkeys(newcomers, "all"), {})
        return self._regroup(state, newcomers)._replace(grouped=self.grouping.reads != "both")

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        asked = self._asked(state, cohort)
        replies = await cohort.map(self.client_update, asked.starts)
        return self._averaged(self._learned(state, asked, replies, cohort), replies, asked.aside)

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

    def _asked(self, state: State, cohort: Cohort) -> Asked:
        """Where everybody's training begins. What is to be compared begins alike; later than in round 1 that is behind
        the others and only says where one belongs.
        """
        compares = self.grouping.reads in ("adapters", "both") and not state.grouped
        new = {client for client in cohort if compares and client not in state.answered}
        starts = {c: self.newborn(state) if c in new else state.clusters[state.labels[c]] for c in cohort}
        return Asked(starts, new, dict.fromkeys(new if state.answered else (), ""))

    def _learned(self, state: State, asked: Asked, replies: Replies, cohort: Cohort) -> State:
        """Groups again with every first answer, until everybody has given one."""
        state = state._replace(numbers={})
        if not asked.new:
            return state
        first = {client: u.adapter if u.weight else None for client, u in replies.items() if client in asked.new}
        state = state._replace(answered={**state.answered, **first})
        if any(adapter is not None for adapter in first.values()):
            state = self._regroup(state, cohort)
        unseen = len(state.labels.keys() - state.answered.keys())
        state = state._replace(numbers={**state.numbers, "group/unseen": float(unseen)})
        return state if unseen else state._replace(grouped=True, answered={})

    def _averaged(self, state: State, replies: Replies, aside: Mapping[ClientId, str]) -> State:
        """The mean inside each group that answered, then what groups take from each other."""
        clusters, agg, numbers = dict(state.clusters), dict(state.agg), dict(state.numbers)
        for name, group in replies.groups({**state.labels, **aside}).items():
            if not name or not group.weight:  # nobody in it has an example
                continue
            agg[name], clusters[name], noted = self.aggregator.apply(agg[name], clusters[name], group)
            numbers |= {f"{key}/{name}": value for key, value in noted.items()}
        played = state.played + 1
        mixed = self.interaction.mix(clusters, centres(state), examples(state), played)
        return state._replace(clusters=mixed, agg=agg, played=played, numbers=numbers)

    def _regroup(self, state: State, cohort: Cohort) -> State:
        changes = {c: (self.newborn(state), adapter) for c, adapter in state.answered.items() if adapter is not None}
        pairs = {c: (wish, changes.get(c)) for c, wish in state.wishes.items()}
        read = {"wishes": state.wishes, "adapters": changes, "both": pairs, "nothing": {}}[self.grouping.reads]
        found = self.grouping.group(read, cohort.facts, cohort.seed)
        labels = dict(found.labels)
        largest = max(sorted(set(labels.values())), key=list(labels.values()).count)
        # whoever could not be asked begins with the largest group
        labels |= {client: largest for client in cohort if client not in {*labels, *state.labels}}
        return self._adopt(state, labels, found.numbers)

    def _adopt(self, state: State, groups: Mapping[ClientId, str], numbers: Mapping[str, float]) -> State:
        """Names the groups stably; who is in none stays where it was.

        A cluster that is new starts from where most of its members were.
        """
        labels, used = stable_ids(state.labels, groups, state.used)
        labels = dict(sorted({**state.labels, **labels}.items()))
        numbers = {**numbers, "group/loners": float(len(loners(labels)))}
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
