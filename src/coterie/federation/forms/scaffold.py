"""SCAFFOLD: Karimireddy et al., ICML 2020, arXiv:1910.06378, Algorithm 1, option II, on adapters.

Clients whose pictures differ drift apart while they train. Each keeps a control variate ``c_k``, about its own mean
gradient, and the server ``c``, about everybody's. A local step is ``y <- y - eta (g(y) - c_k + c)``: as if the other
clients' gradients were known. After S steps ``c_k+ = c_k - c + (x - y) / (S eta)``, the mean of the gradients on the
way, and the server takes ``x + eta_s mean(y - x)`` and ``c + sum_k p_k (c_k+ - c_k)``. Both directions carry twice the
numbers. The paper's clients count alike; here ``p_k`` is a client's share of all examples, for ``x`` as for ``c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple

from annotated_types import Gt

from coterie.core.adapter import Adapter, weighted_sum
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation.keepings.none import Nothing
from coterie.federation.shelves import FORMS, KEEPINGS


class State(NamedTuple):
    """The adapter ``x`` and the server's control variate ``c``, a gradient in the adapter's layout."""

    x: Adapter
    c: Adapter
    numbers: Mapping[str, float] = {}


@FORMS.register("scaffold")
@dataclass(frozen=True)
class Scaffold:
    """Federated averaging of plain gradient steps that are corrected for each client's drift.

    What somebody who left has put into the server's control variate stays in it.

    Attributes:
        step: of the server, from its adapter toward the mean of the clients'.
        keeping: what a client keeps for itself beside it, trained without correction.
        fit: local training; its optimiser is ``sgd``.
    """

    step: Annotated[float, Gt(0)] = 1.0
    keeping: Annotated[Keeping, KEEPINGS] = Nothing()
    fit: Fit = Fit(optimiser="sgd", rate=0.3, warmup=0)

    plain_steps: ClassVar[bool] = True
    one_rank: ClassVar[bool] = True

    async def init(self, adapter: Adapter) -> State:
        return State(adapter, adapter.layout.zeros())

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        return state

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        replies = await cohort.map(self.client_update, {client: {"x": state.x, "c": state.c} for client in cohort})
        changes, mean = replies.pick("change"), replies.pick("y").mean()
        x = mean if self.step == 1 else weighted_sum([state.x, mean], [1 - self.step, self.step])
        share = changes.weight / sum(fact.num_examples for fact in cohort.everybody.values())
        c = weighted_sum([state.c, changes.mean()], [1.0, share])
        return State(x, c, {"control/norm": float(c.row.double().norm())})

    async def client_update(self, site: Site, sent: Mapping[str, Adapter]) -> Mapping[str, Update]:  # at each client
        x, c = sent["x"], sent["c"]
        mine: Adapter = site.memory.get("control", x.layout.zeros())
        drift = weighted_sum([c, mine], [1.0, -1.0])
        got = await site.fit(self.keeping.begin(site, x), replace(self.fit, drift=drift))
        await self.keeping.after_round(site, x, self.fit)
        y, change = self.keeping.share(site, got.adapter), x.layout.zeros()
        if got.travel:  # S eta, the sum of the rates of all steps; what is not shared is not corrected
            change = weighted_sum([c, x, y], [-1.0, 1 / got.travel, -1 / got.travel])
        site.memory["control"] = weighted_sum([mine, change], [1.0, 1.0])
        return {"y": Update(y, got.num_examples, got.numbers), "change": Update(change, got.num_examples)}

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.x

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return {}

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return {"global": state.x} if self.keeping.served_is_whole else {}
