"""Clients, edges, cloud: HierFAVG, Liu, Zhang, Song and Letaief, ICC 2020, arXiv:1905.06641, Algorithm 1.

Every ``kappa_1`` local steps (``fit.steps``) an edge averages its clients, ``w_l = sum_{i in l} n_i w_i / N_l``; every
``kappa_2`` of these (``edge_rounds``), which are a round here, the cloud averages the edges, ``w = sum_l N_l w_l / N``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from annotated_types import Ge
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.groups import Grouping
from coterie.core.rules import Aggregator
from coterie.core.site import ClientId, Facts, Site
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation.aggregators.mean import Mean
from coterie.federation.groupings.given import require_members
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.keepings.none import Nothing
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, KEEPINGS
from coterie.federation.wish_mode import WishMode


class State(NamedTuple):
    """The cloud's adapter, each client's edge, the rule's states (the cloud's under no name), and wishes as sent."""

    w: Adapter
    edges: Mapping[ClientId, str] = {}
    agg: Mapping[str, Any] = {}
    heard: Mapping[ClientId, Tensor] = {}
    numbers: Mapping[str, float] = {}


@FORMS.register("hierarchical")
@dataclass(frozen=True)
class Hierarchical:
    """One adapter for everybody, averaged at edges often and by the cloud now and then.

    Attributes:
        edge_rounds: that edges average before the cloud does; with 1 it is federated averaging.
        grouping: which edge a client belongs to: ``given``, or found among wishes; known before the first round.
        aggregator: how replies become one adapter, at the edges and in the cloud.
        keeping: what a client keeps for itself beside it, trained after every edge round.
        wish: how an encoded wish is made coarser before a client sends it.
        fit: local training of an edge round.
    """

    edge_rounds: Annotated[int, Ge(1)] = 2
    grouping: Annotated[Grouping, GROUPINGS] = Wishes()
    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    keeping: Annotated[Keeping, KEEPINGS] = Nothing()
    wish: WishMode = WishMode()
    fit: Fit = Fit()

    groups_first: ClassVar[bool] = True
    group: ClassVar[str] = "edge"

    async def init(self, adapter: Adapter) -> State:
        return State(adapter, agg={"": self.aggregator.init(adapter)})

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        here, heard = newcomers.everybody, dict(state.heard)
        if self.grouping.reads == "wishes":
            replies = await newcomers.map(self.client_wish, dict.fromkeys(newcomers))
            heard |= {client: self.wish.opened(sent) for client, sent in replies.items()}
        heard = {client: wish for client, wish in heard.items() if client in here}
        found = self.grouping.group(heard, here, newcomers.seed)
        edges = {client: f"edge-{label}" for client, label in found.labels.items()}
        self.require_people(here, newcomers.seed, not state.edges)
        agg = {edge: state.agg.get(edge, self.aggregator.init(state.w)) for edge in ["", *edges.values()]}
        return State(state.w, edges, agg, heard, found.numbers)

    def require_people(self, here: Mapping[ClientId, Facts], seed: int, first: bool) -> None:
        require_members(self.grouping, here, first)

    async def client_wish(self, site: Site, _: None) -> Tensor:
        return await site.describe()

    async def round(self, state: State, cohort: Cohort) -> State:  # on the edges, and in the cloud
        agg, weight, numbers = dict(state.agg), dict[str, float](), dict[str, float]()
        part = (lambda client, update: state.edges[client]) if self.aggregator.linear else None
        w = dict(cohort.backhaul("down", {state.edges[client]: state.w for client in cohort}).items())
        for _ in range(self.edge_rounds):
            replies = await cohort.map(self.client_update, {c: w[state.edges[c]] for c in cohort}, part)
            for edge, group in replies.groups(state.edges).items():
                if group.weight:  # somebody in it has an example
                    weight[edge] = group.weight
                    agg[edge], w[edge], noted = self.aggregator.apply(agg[edge], w[edge], group)
                    numbers |= {f"{key}/{edge}": value for key, value in noted.items()}
        up = cohort.backhaul("up", {edge: Update(w[edge], n) for edge, n in weight.items()})
        agg[""], cloud, noted = self.aggregator.apply(agg[""], state.w, up)
        return state._replace(w=cloud, agg=agg, numbers={**numbers, **noted})

    async def client_update(self, site: Site, w: Adapter) -> Update:  # at each client
        got = await site.fit(self.keeping.begin(site, w), self.fit)
        await self.keeping.after_round(site, w, self.fit)
        return Update(self.keeping.share(site, got.adapter), weight=got.num_examples, numbers=got.numbers)

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.w

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return state.edges

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return {"global": state.w} if self.keeping.served_is_whole else {}
