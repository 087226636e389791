"""How the clusters of ``ifca`` begin and are averaged: common rounds, the last of which parts the clients."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Awaitable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.errors import UserError
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.core.seeds import seed_for
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.core.work import Task
from coterie.federation.groupings.weights import products

MOST = 128  # clients asked in the round that parts them: all their adapters are needed at once


class State(NamedTuple):
    """What the server knows.

    ``root``: the adapter of the first rounds, also that of clients who were never asked later. ``clusters``: adapter by
    cluster, empty until they part. ``agg``: the aggregator's state by cluster. ``labels``: what each client chose last.
    ``played``: rounds so far.
    """

    root: Adapter
    clusters: Mapping[str, Adapter] = {}
    agg: Mapping[str, Any] = {}
    labels: Mapping[ClientId, str] = {}
    played: int = 0
    numbers: Mapping[str, float] = {}


class Rules(Protocol):
    """What ``ifca`` says of its clusters and of a client's training."""

    @property
    def clusters(self) -> int: ...
    @property
    def warm(self) -> int: ...
    @property
    def aggregator(self) -> Aggregator: ...
    def client_update(self, site: Site, task: Task) -> Awaitable[Update]: ...


async def common_round(rules: Rules, state: State, cohort: Cohort) -> State:
    """A round of federated averaging; the last one averages clients whose updates are alike, each cluster its own.

    Raises:
        UserError: if fewer are asked in that round than there shall be clusters.
    """
    parts = state.played + 1 >= rules.warm
    if parts:
        require(rules.clusters, len(cohort), "clients in a round", "lower it or raise cohort.share")
    asked = some(cohort, state.played) if parts and rules.clusters > 1 else list(cohort)
    tasks = {c: rules.aggregator.task(state.agg["global"], state.root, cohort.facts[c].rank) for c in asked}
    only_sums = rules.aggregator.linear and not parts
    replies = await cohort.map(rules.client_update, tasks, (lambda client, update: "global") if only_sums else None)
    if not parts or len(replies) < rules.clusters:  # too many did not answer: one more common round
        agg, root, numbers = rules.aggregator.apply(state.agg["global"], state.root, replies)
        return State(root, {}, {"global": agg}, {}, state.played + 1, numbers)
    adapters = {client: update.adapter for client, update in replies.items()}
    seed = seed_for(cohort.seed, state.played, "", "ifca/start")
    names = [f"cluster-{k}" for k in range(rules.clusters)]
    state = state._replace(clusters=dict.fromkeys(names, state.root), agg=dict.fromkeys(names, state.agg["global"]))
    return averaged(rules, state, far_apart(adapters, rules.clusters, seed), replies)


def averaged(rules: Rules, state: State, choices: Mapping[ClientId, str], replies: Replies) -> State:
    """Each cluster averaged over those who trained it; one that nobody chose stays as it is."""
    clusters, agg = dict(state.clusters), dict(state.agg)
    numbers: dict[str, float] = {}
    for name, group in replies.groups(choices).items():
        agg[name], clusters[name], noted = rules.aggregator.apply(agg[name], clusters[name], group)
        numbers |= {f"{key}/{name}": value for key, value in noted.items()}
    labels = {**state.labels, **choices}
    sizes = Counter(labels.values())
    numbers |= {f"group/size/{name}": float(sizes[name]) for name in clusters}
    numbers |= {"group/count": float(len(sizes))}
    numbers |= {"ifca/moved": float(sum(state.labels.get(c, name) != name for c, name in choices.items()))}
    return State(state.root, clusters, agg, dict(sorted(labels.items())), state.played + 1, numbers)


def require(clusters: int, count: int, what: str, help: str) -> None:
    """Raises: UserError: if there are fewer of them than clusters."""
    if count < clusters:
        raise UserError(f"form.clusters: {clusters} clusters cannot be made of {count} {what}; {help}")


def some(cohort: Cohort, played: int) -> list[ClientId]:
    """Those whose updates part the clusters, in order: all of a cohort, or ``MOST`` of them drawn from the seed."""
    clients = sorted(cohort)
    if len(clients) <= MOST:
        return clients
    rng = np.random.default_rng(seed_for(cohort.seed, played, "", "ifca/asked"))
    return sorted(clients[i] for i in rng.permutation(len(clients))[:MOST])


def far_apart(adapters: Mapping[ClientId, Adapter], count: int, seed: int) -> dict[ClientId, str]:
    """Clients in groups by where their effective updates point to: k-means on ``D_i / |D_i|``, begun far apart.

    The updates are never formed: their inner products have a matrix of points with the same ones. Where none does
    anything alone (``keeping`` split), ``D_i`` is what sets the factors apart from their mean. k-means++: Arthur and
    Vassilvitskii, SODA 2007; best of ten starts.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    clients = sorted(adapters)
    if count == 1:
        return dict.fromkeys(clients, "cluster-0")
    inner = products([(adapters[client].layout.zeros(), adapters[client]) for client in clients])
    if not inner.any():
        rows = np.stack([adapters[client].row.double().numpy() for client in clients])
        inner = (rows - rows.mean(0)) @ (rows - rows.mean(0)).T
    norms = np.sqrt(np.clip(np.diag(inner), 1e-300, None))
    values, vectors = np.linalg.eigh(inner / np.outer(norms, norms))
    points = vectors * np.sqrt(np.clip(values, 0, None))
    with warnings.catch_warnings():  # fewer directions than clusters: some are left empty
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(count, n_init=10, random_state=seed % 2**32).fit_predict(points).tolist()
    order = {group: k for k, group in enumerate(dict.fromkeys(found))}  # by their first clients
    return {client: f"cluster-{order[group]}" for client, group in zip(clients, found, strict=True)}
