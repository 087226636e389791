"""Clustered personalisation: Li et al., 2025, arXiv:2508.04745 (whose equations are not public; our reading).

Clients send their encoded wishes, the server groups them and gives every group an adapter. Each round: clients train
their group's adapter, the server averages inside groups, and groups learn from each other. Hybrids of groups are mixed
when pictures are drawn. Whenever somebody comes, leaves or wishes for something else, groups are made anew; what passes
on is in ``federation/lives.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort, Replies
from coterie.core.form import Keeping
from coterie.core.groups import Grouped, Grouping, Interaction
from coterie.core.rules import Aggregator
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.core.work import Fit, Task
from coterie.federation import lives
from coterie.federation.aggregators.mean import Mean
from coterie.federation.aggregators.product_svd import cut
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.interactions.none import Isolated
from coterie.federation.keepings.ditto import Ditto
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, INTERACTIONS, KEEPINGS
from coterie.federation.stable import loners
from coterie.federation.wish_mode import WishMode


class State(NamedTuple):
    """What the server knows.

    ``labels``: cluster by client. ``clusters``: adapter by cluster. ``agg``: the aggregator's state by cluster.
    ``wishes``: encoded wish by client. ``counts``: training examples by client. ``used``: cluster names given so far.
    ``played``: rounds so far, and ``regrouped``: how many there were at the last grouping. ``past``: adapters of
    clusters that everybody left. ``root_agg``: the aggregator's state for the root, where one is trained.
    ``answered``: where adapters are compared, by client what its first training made of the common start, or None if it
    had no example.
    """

    root: Adapter
    labels: Mapping[ClientId, str] = {}
    clusters: Mapping[str, Adapter] = {}
    agg: Mapping[str, Any] = {}
    wishes: Mapping[ClientId, Tensor] = {}
    counts: Mapping[ClientId, int] = {}
    used: int = 0
    played: int = 0
    regrouped: int = 0
    past: Mapping[str, Adapter] = {}
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
            return self._adopt(state, Grouped({}, {}), {}, newcomers)  # group takes it in
        return self._regroup(state, newcomers)

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        state, asked = self._asked(state, cohort)
        only_sums = self.aggregator.linear and not asked.new  # first answers are compared one by one
        part = (lambda client, update: state.labels[client]) if only_sums else None
        tasks = {c: self._task(state, asked, c, fact.rank) for c, fact in cohort.facts.items()}
        replies = await cohort.map(self.client_update, tasks, part)
        return self._averaged(self._learned(state, asked, replies, cohort), replies, asked.aside)

    async def client_update(self, site: Site, task: Task) -> Update:  # at each client
        got = await site.fit(self.keeping.begin(site, task.start), self.fit.of(task))
        await self.keeping.after_round(site, task.start, self.fit.of(task.below))
        shared = self.aggregator.report(self.keeping.share(site, got.adapter), task)
        return Update(shared, weight=got.num_examples, numbers=got.numbers)

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

    def _task(self, state: State, asked: Asked, client: ClientId, rank: int | None) -> Task:
        start = asked.starts[client]
        agg = self.aggregator.init(start) if client in asked.new else state.agg[state.labels[client]]
        return self.aggregator.task(agg, start, rank)

    def _asked(self, state: State, cohort: Cohort) -> tuple[State, Asked]:
        """Who trains from what; groups are made anew before that where it is time.

        What is to be compared begins alike. Later than in round 1 that is behind the others, and only says where one
        belongs.
        """
        state = state._replace(numbers={})
        if self.regroup_every and state.played - state.regrouped >= self.regroup_every:
            state = self._regroup(state, cohort)
        compares = self.grouping.reads in ("adapters", "both")
        new = {client for client in cohort if compares and client not in state.answered}
        starts = {c: self.newborn(state) if c in new else state.clusters[state.labels[c]] for c in cohort}
        return state, Asked(starts, new, dict.fromkeys(new if state.answered else (), ""))

    def _learned(self, state: State, asked: Asked, replies: Replies, cohort: Cohort) -> State:
        """Groups again with every first answer."""
        if not asked.new:
            return state
        first = {client: u.adapter if u.weight else None for client, u in replies.items() if client in asked.new}
        state = state._replace(answered={**state.answered, **first})
        if any(adapter is not None for adapter in first.values()):
            state = self._regroup(state, cohort)
        unseen = len(state.labels.keys() - state.answered.keys())
        return state._replace(numbers={**state.numbers, "group/unseen": float(unseen)})

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
        ranks, begin = {c: fact.rank for c, fact in cohort.everybody.items()}, self.newborn(state)
        begins = {rank: begin if rank is None else cut(begin, rank) for rank in set(ranks.values())}  # as it was sent
        changes = {c: (begins[ranks[c]], adapter) for c, adapter in state.answered.items() if adapter is not None}
        pairs = {c: (wish, changes.get(c)) for c, wish in state.wishes.items()}
        known = {"wishes": state.wishes, "adapters": changes, "both": pairs, "nothing": {}}[self.grouping.reads]
        found = self.grouping.group(known, cohort.everybody, cohort.seed)
        return self._adopt(state, found, known, cohort)._replace(regrouped=state.played)

    def _adopt(self, state: State, found: Grouped, known: Mapping[ClientId, Any], cohort: Cohort) -> State:
        """Names the groups, and gives each what it inherits."""
        here, margin = cohort.everybody, self.margin if state.played else None
        labels, used = lives.regrouped(state.labels, found.labels, known, here, state.used, margin)
        inherits = lives.parents(state.labels, labels, here)
        old = lives.Estate(dict(state.clusters), dict(state.agg), dict(state.past))
        new = lives.passed_on(old, inherits, self.newborn(state), self.aggregator.init)
        alone = {"group/loners": float(len(loners(labels)))}
        numbers = {**found.numbers, **alone, **lives.told(state.labels, labels)}
        return state._replace(**new._asdict(), labels=labels, used=used, numbers=numbers)


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
