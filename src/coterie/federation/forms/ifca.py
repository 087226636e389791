"""IFCA: Ghosh, Chung, Yin and Ramchandran, NeurIPS 2020, arXiv:2006.04088, Algorithm 1 with model averaging.

Each round: the server sends all K adapters; every client takes the one with the smallest loss on its own training
pictures, trains it and says which it was; the server averages each over those who took it. The paper starts from K
random models. Adapters begin at the same point, whatever their factors: all losses are equal there, and nothing would
ever part them. So a few rounds of federated averaging come first, and the last of them is averaged in K groups of
clients whose updates point to different sides.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Ge

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort, Replies
from coterie.core.errors import UserError
from coterie.core.form import Keeping
from coterie.core.rules import Aggregator
from coterie.core.seeds import seed_for
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.core.work import Fit, Task
from coterie.federation.aggregators.mean import Mean
from coterie.federation.groupings.weights import products
from coterie.federation.keepings.none import Nothing
from coterie.federation.shelves import AGGREGATORS, FORMS, KEEPINGS

MOST_PARTING = 128  # clients asked in the round that parts them: all their adapters are needed at once


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
        if not state.played:
            self._require_clients(len(here), "clients", "lower it")
        return state._replace(labels={client: name for client, name in state.labels.items() if client in here})

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        if state.clusters:
            return await self._clustered(state, cohort)
        if state.played + 1 < self.warm:
            part = (lambda client, update: "global") if self.aggregator.linear else None
            replies = await cohort.map(self.client_update, self._tasks(state, cohort), part)
            agg, root, numbers = self.aggregator.apply(state.agg["global"], state.root, replies)
            return State(root, {}, {"global": agg}, {}, state.played + 1, numbers)
        return await self._parted(state, cohort)

    async def _clustered(self, state: State, cohort: Cohort) -> State:
        """Algorithm 1, lines 3 to 12."""
        names = list(state.clusters)

        def chosen(client: ClientId, update: Update) -> str:
            return names[int(update.numbers["ifca/choice"])]

        inputs = {
            client: [self.aggregator.task(state.agg[name], w, fact.rank) for name, w in state.clusters.items()]
            for client, fact in cohort.facts.items()
        }
        replies = await cohort.map(self.client_choose, inputs, chosen if self.aggregator.linear else None)
        choices = {client: names[int(told["ifca/choice"])] for client, told in replies.numbers.items()}
        state = self._averaged(state, choices, replies)
        losses = [told["ifca/loss"] for told in replies.numbers.values()]
        return state._replace(numbers={**state.numbers, "ifca/loss": sum(losses) / max(1, len(losses))})

    async def _parted(self, state: State, cohort: Cohort) -> State:
        """The last common round: each cluster begins as the average of clients whose updates are alike."""
        self._require_clients(len(cohort), "clients in a round", "lower it or raise cohort.share")
        asked = sorted(cohort)
        if self.clusters > 1 and len(asked) > MOST_PARTING:
            rng = np.random.default_rng(seed_for(cohort.seed, state.played, "", "ifca/asked"))
            asked = sorted(asked[i] for i in rng.permutation(len(asked))[:MOST_PARTING])
        replies = await cohort.map(self.client_update, self._tasks(state, cohort, asked))
        if len(replies) < self.clusters:  # too many did not answer: one more common round
            agg, root, numbers = self.aggregator.apply(state.agg["global"], state.root, replies)
            return State(root, {}, {"global": agg}, {}, state.played + 1, numbers)
        adapters = {client: update.adapter for client, update in replies.items()}
        seed = seed_for(cohort.seed, state.played, "", "ifca/start")
        names = [f"cluster-{k}" for k in range(self.clusters)]
        state = state._replace(clusters=dict.fromkeys(names, state.root), agg=dict.fromkeys(names, state.agg["global"]))
        return self._averaged(state, far_apart(adapters, self.clusters, seed), replies)

    def _averaged(self, state: State, choices: Mapping[ClientId, str], replies: Replies) -> State:
        """Each cluster averaged over those who trained it; one that nobody chose stays as it is."""
        clusters, agg = dict(state.clusters), dict(state.agg)
        numbers: dict[str, float] = {}
        for name, group in replies.groups(choices).items():
            agg[name], clusters[name], noted = self.aggregator.apply(agg[name], clusters[name], group)
            numbers |= {f"{key}/{name}": value for key, value in noted.items()}
        labels = {**state.labels, **choices}
        sizes = Counter(labels.values())
        numbers |= {f"group/size/{name}": float(sizes[name]) for name in clusters}
        numbers |= {"group/count": float(len(sizes))}
        numbers |= {"ifca/moved": float(sum(state.labels.get(c, name) != name for c, name in choices.items()))}
        return State(state.root, clusters, agg, dict(sorted(labels.items())), state.played + 1, numbers)

    def _tasks(self, state: State, cohort: Cohort, asked: Collection[ClientId] | None = None) -> dict[ClientId, Task]:
        """What clients train while there is one adapter."""
        clients = cohort if asked is None else asked
        return {c: self.aggregator.task(state.agg["global"], state.root, cohort.facts[c].rank) for c in clients}

    async def client_update(self, site: Site, task: Task) -> Update:  # at each client, while there is one adapter
        got = await site.fit(self.keeping.begin(site, task.start), self.fit.of(task))
        await self.keeping.after_round(site, task.start, self.fit.of(task.below))
        shared = self.aggregator.report(self.keeping.share(site, got.adapter), task)
        return Update(shared, weight=got.num_examples, numbers=got.numbers)

    async def client_choose(self, site: Site, clusters: list[Task]) -> Update:  # at each client, once they parted
        losses = await site.score([self.keeping.begin(site, task.start) for task in clusters], self.levels)
        choice = int(losses.argmin())  # of equal ones the first
        update = await self.client_update(site, clusters[choice])
        numbers = {**update.numbers, "ifca/choice": float(choice), "ifca/loss": float(losses[choice])}
        return Update(update.adapter, update.weight, numbers)

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

    def _require_clients(self, count: int, what: str, help: str) -> None:
        if count < self.clusters:
            raise UserError(f"form.clusters: {self.clusters} clusters cannot be made of {count} {what}; {help}")


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
