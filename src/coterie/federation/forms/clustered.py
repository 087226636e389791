"""Clustered personalisation: Li et al., 2025, arXiv:2508.04745 (whose equations are not public; our reading).

Once: clients send their encoded wishes, the server groups them and gives every group an adapter. Each round: clients
train their group's adapter, the server averages inside groups. Hybrids of groups are mixed when pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.protocols import Aggregator, ClientId, Cohort, Grouping, Keeping, Replies, Site
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation.aggregators.mean import Mean
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.keepings.ditto import Ditto
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, KEEPINGS
from coterie.federation.stable import loners, stable_ids


class State(NamedTuple):
    """What the server knows.

    ``labels``: cluster by client. ``clusters``: adapter by cluster. ``agg``: the aggregator's state by cluster.
    ``wishes``: encoded wish by client. ``used``: cluster names given so far. ``grouped``: whether grouping is done.
    ``answered``: by client what its first training made of ``root``, or None if it had no example; kept only while
    adapters are to be compared and somebody has not answered.
    """

    root: Adapter
    labels: Mapping[ClientId, str] = {}
    clusters: Mapping[str, Adapter] = {}
    agg: Mapping[str, Any] = {}
    wishes: Mapping[ClientId, Tensor] = {}
    used: int = 0
    grouped: bool = False
    numbers: Mapping[str, float] = {}
    answered: Mapping[ClientId, Any] = {}


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
        if self.grouping.reads in ("wishes", "both"):
            replies = await newcomers.map(self.client_wish, dict.fromkeys(newcomers))
            state = state._replace(wishes={**state.wishes, **dict(replies.items())})
        if self.grouping.reads == "adapters":  # until the first round everybody is one group
            return self._adopt(state, dict.fromkeys(newcomers, "all"), {})
        return self._regroup(state, newcomers)._replace(grouped=self.grouping.reads != "both")

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        compares = self.grouping.reads in ("adapters", "both") and not state.grouped
        new = {client for client in cohort if compares and client not in state.answered}
        # what is compared began alike; later than in round 1 that is behind the others and only says where one belongs
        aside = dict.fromkeys(new if state.answered else (), "")
        served = {client: state.root if client in new else self.serve(state, client) for client in cohort}
        replies = await cohort.map(self.client_update, served)
        numbers: dict[str, float] = {}
        if new:
            state = self._learn(state, new, replies, cohort)
            numbers |= state.numbers
        clusters, agg = dict(state.clusters), dict(state.agg)
        for name, group in replies.groups({**state.labels, **aside}).items():
            if not name or not group.weight:  # nobody in it has an example
                continue
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

    def _learn(self, state: State, new: Collection[ClientId], replies: Replies, cohort: Cohort) -> State:
        """Groups again with every first answer, until everybody has given one."""
        first = {client: u.adapter if u.weight else None for client, u in replies.items() if client in new}
        state = state._replace(answered={**state.answered, **first}, numbers={})
        if any(adapter is not None for adapter in first.values()):
            state = self._regroup(state, cohort)
        unseen = len(state.labels.keys() - state.answered.keys())
        state = state._replace(numbers={**state.numbers, "group/unseen": float(unseen)})
        return state if unseen else state._replace(grouped=True, answered={})

    def _regroup(self, state: State, cohort: Cohort) -> State:
        changes = {c: (state.root, adapter) for c, adapter in state.answered.items() if adapter is not None}
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
            clusters[name] = state.clusters[known] if known else state.root
            agg[name] = state.agg[name] if name in state.agg else self.aggregator.init(clusters[name])
        return state._replace(labels=labels, used=used, clusters=clusters, agg=agg, numbers=numbers)
