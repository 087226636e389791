"""A relay of one adapter: the sequential form of Huang et al., 2023, arXiv:2307.07146, their case study; before it
cyclic weight transfer, Chang et al., 2018, JAMIA 25:945.

Each round: the server sends ``v_t`` to one client, which trains it and hands it to another, device to device, until all
had it; the last one sends it to the server: ``v <- v_t; for k in order: v <- Train_k(v); v_{t+1} = v``. A fresh
optimiser at every client. Who trains last weighs most: if each visit moves ``v`` a share ``rho`` toward the client's
optimum, the j-th from the end counts ``rho (1 - rho)^j``. What that costs the others is measured as forgetting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_types import Gt, Le

from coterie.core.adapter import Adapter, weighted_sum
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.links import Order, distances
from coterie.core.site import ClientId, Facts, Site
from coterie.core.work import Fit
from coterie.federation.forgetting import AFTER, Watch
from coterie.federation.keepings.none import Nothing
from coterie.federation.orders.random import Random
from coterie.federation.shelves import FORMS, KEEPINGS, ORDERS


class State(NamedTuple):
    """The adapter ``v_t`` and the rounds played so far."""

    v: Adapter
    played: int = 0
    numbers: Mapping[str, float] = {}


@FORMS.register("sequential")
@dataclass(frozen=True)
class Sequential:
    """One adapter that goes from device to device, and with it the training losses of all who had it.

    Attributes:
        order: in which clients are visited.
        anchor: what ``fit.mu`` pulls toward: the adapter as it ``arrived``, or as the ``round`` began, which then
            travels along.
        average: takes the mean of what all visits made instead of the last; the mean so far travels along.
        step: how far the server goes from its adapter toward the relay's; 1 takes the relay's.
        forgetting: how much worse held-out pictures fare than right after their client trained, measured at the end of
            each ``round``, after every ``hop`` too (bytes by the square of the clients), or ``never``.
        keeping: what a client keeps for itself beside it.
        fit: local training of a visit.
    """

    order: Annotated[Order, ORDERS] = Random()
    anchor: Literal["arrived", "round"] = "arrived"
    average: bool = False
    step: Annotated[float, Gt(0), Le(1)] = 1.0
    forgetting: Literal["round", "hop", "never"] = "round"
    keeping: Annotated[Keeping, KEEPINGS] = Nothing()
    fit: Fit = Fit()

    needs_single_replies: ClassVar[bool] = True
    one_rank: ClassVar[bool] = True
    hands_over: ClassVar[bool] = True

    async def init(self, adapter: Adapter) -> State:
        return State(adapter)

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        self.require_people(newcomers.everybody, newcomers.seed)
        return state

    def require_people(self, here: Mapping[ClientId, Facts], seed: int, first: bool = False) -> None:
        """What is wrong with the order is said before anybody is visited."""
        self.order.path(sorted(here), 0, distances(here), seed)

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        path = self.order.path(sorted(cohort), state.played, distances(cohort.facts), cohort.seed)
        token: dict[str, Any] = {"v": state.v, "told": {}}
        token |= {"anchor": state.v} if self.anchor == "round" and self.fit.mu else {}
        token |= {"mean": state.v} if self.average else {}
        watch = Watch(cohort, self.client_look, self.forgetting)
        relayed = await cohort.relay(self.client_visit, path, token, watch.seen)
        v, told = relayed.value["mean" if self.average else "v"], relayed.value["told"]
        v = v if self.step == 1 else weighted_sum([state.v, v], [1 - self.step, self.step])
        numbers = {f"loss/{client}": mine["loss/last"] for client, mine in told.items() if "loss/last" in mine}
        return State(v, state.played + 1, {**numbers, **await watch.numbers(v, told)})

    async def client_visit(self, site: Site, token: Mapping[str, Any]) -> Mapping[str, Any]:  # at each client in turn
        fit = self.fit.toward(token["anchor"], self.fit.mu) if "anchor" in token else self.fit
        got = await site.fit(self.keeping.begin(site, token["v"]), fit)
        await self.keeping.after_round(site, token["v"], self.fit)
        v, mine = self.keeping.share(site, got.adapter), dict(got.numbers)
        if self.forgetting != "never" and "own" in site.tests:
            mine[AFTER] = await self.client_look(site, v)
        told = {**token["told"], site.client: mine}
        if "mean" in token and (j := sum("loss/last" in one for one in told.values())):
            token = {**token, "mean": weighted_sum([token["mean"], v], [1 - 1 / j, 1 / j])}
        return {**token, "v": v, "told": told}

    async def client_look(self, site: Site, v: Adapter) -> float:  # to measure
        losses = await site.evaluate(self.keeping.begin(site, v), "own")
        return float(losses.double().mean())

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.v

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return {}

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return {"global": state.v} if self.keeping.served_is_whole else {}
