"""What the server does with clusters between two messages: who begins where, groups made anew, means inside groups.

The form ``clustered`` says when; what passes on from one grouping to the next is in ``federation/lives.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.groups import Grouped, Grouping, Interaction
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.site import ClientId, Facts
from coterie.core.work import Task
from coterie.federation import lives
from coterie.federation.drift import drift
from coterie.federation.products import cut
from coterie.federation.stable import loners


class State(NamedTuple):
    """What the server knows.

    ``labels``: cluster by client. ``clusters``: adapter by cluster. ``agg``: the aggregator's state by cluster.
    ``wishes``: encoded wish by client. ``counts``: training examples by client. ``used``: cluster names given so far.
    ``played``: rounds so far, and ``regrouped``: how many there were at the last grouping. ``past``: adapters of
    clusters that everybody left. ``root_agg``: the aggregator's state for the root, where one is trained.
    ``answered``: where adapters are compared, by client what its first training made of the common start, or None if it
    had no example. ``waiting``: who is in the largest cluster only until a grouping says where they belong.
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
    waiting: Collection[ClientId] = ()


class Asked(NamedTuple):
    """A round's ``starts`` by client; ``new`` ones answer for the first time, and ``aside`` are not averaged."""

    starts: Mapping[ClientId, Adapter]
    new: Collection[ClientId]
    aside: Mapping[ClientId, str]


class Rules(Protocol):
    """What a form with clusters says of them; ``coterie.federation.forms.clustered`` explains each."""

    @property
    def grouping(self) -> Grouping: ...
    @property
    def aggregator(self) -> Aggregator: ...
    @property
    def interaction(self) -> Interaction: ...
    @property
    def regroup_every(self) -> int: ...
    @property
    def margin(self) -> float: ...
    def newborn(self, state: State) -> Adapter:
        """Where a cluster begins whose members were in none, and the first training of what is to be compared."""
        ...


def task(rules: Rules, state: State, asked: Asked, client: ClientId, rank: int | None) -> Task:
    start = asked.starts[client]
    agg = rules.aggregator.init(start) if client in asked.new else state.agg[state.labels[client]]
    return rules.aggregator.task(agg, start, rank)


def ask(rules: Rules, state: State, cohort: Cohort) -> tuple[State, Asked]:
    """Who trains from what; groups are made anew before that where it is time.

    What is to be compared begins alike. Later than in round 1 that is behind the others, and only says where one
    belongs.
    """
    state = state._replace(numbers={})
    if rules.regroup_every and state.played - state.regrouped >= rules.regroup_every:
        state = regroup(rules, state, cohort)
    compares = rules.grouping.reads in ("adapters", "both")
    new = {client for client in cohort if compares and client not in state.answered}
    starts = {c: rules.newborn(state) if c in new else state.clusters[state.labels[c]] for c in cohort}
    return state, Asked(starts, new, dict.fromkeys(new if state.answered else (), ""))


def learn(rules: Rules, state: State, asked: Asked, replies: Replies, cohort: Cohort) -> State:
    """Groups again with every first answer."""
    if not asked.new:
        return state
    first = {client: u.adapter if u.weight else None for client, u in replies.items() if client in asked.new}
    state = state._replace(answered={**state.answered, **first})
    if any(adapter is not None for adapter in first.values()):
        state = regroup(rules, state, cohort)
    unseen = len(state.labels.keys() - state.answered.keys())
    return state._replace(numbers={**state.numbers, "group/unseen": float(unseen)})


def average(
    rules: Rules, state: State, replies: Replies, facts: Mapping[ClientId, Facts], aside: Mapping[ClientId, str]
) -> State:
    """The mean inside each group that answered, then what groups take from each other."""
    clusters, agg, numbers = dict(state.clusters), dict(state.agg), dict(state.numbers)
    for name, group in replies.groups({**state.labels, **aside}).items():
        if not name or not group.weight:  # nobody in it has an example
            continue
        before = rules.aggregator.served(agg[name], clusters[name])
        agg[name], clusters[name], noted = rules.aggregator.apply(agg[name], clusters[name], group)
        noted = {**noted, **drift(before, rules.aggregator.served(agg[name], clusters[name]), group, facts)}
        numbers |= {f"{key}/{name}": value for key, value in noted.items()}
    played = state.played + 1
    mixed = rules.interaction.mix(clusters, centres(state), examples(state), played)
    return state._replace(clusters=mixed, agg=agg, played=played, numbers=numbers)


def regroup(rules: Rules, state: State, cohort: Cohort) -> State:
    ranks, begin = {c: fact.rank for c, fact in cohort.everybody.items()}, rules.newborn(state)
    begins = {rank: begin if rank is None else cut(begin, rank) for rank in set(ranks.values())}  # as it was sent
    changes = {c: (begins[ranks[c]], adapter) for c, adapter in state.answered.items() if adapter is not None}
    pairs = {c: (wish, changes.get(c)) for c, wish in state.wishes.items()}
    known = {"wishes": state.wishes, "adapters": changes, "both": pairs, "nothing": {}}[rules.grouping.reads]
    found = rules.grouping.group(known, cohort.everybody, cohort.seed)
    return adopt(rules, state, found, known, cohort)._replace(regrouped=state.played)


def adopt(rules: Rules, state: State, found: Grouped, known: Mapping[ClientId, Any], cohort: Cohort) -> State:
    """Names the groups, and gives each what it inherits."""
    here, margin = cohort.everybody, rules.margin if state.played else None
    named = lives.regrouped(state.labels, found.labels, known, here, state.used, margin, state.waiting)
    labels = named.labels
    inherits = lives.parents(state.labels, labels, here)
    old = lives.Estate(dict(state.clusters), dict(state.agg), dict(state.past))
    new = lives.passed_on(old, inherits, rules.newborn(state), rules.aggregator.init)
    alone = {"group/loners": float(len(loners(labels)))}
    numbers = {**found.numbers, **alone, **lives.told(state.labels, labels)}
    return state._replace(**new._asdict(), **named._asdict(), numbers=numbers)


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
