"""Split learning: Gupta and Raskar, 2018, arXiv:1810.06060; U-shape: Vepakomma et al., 2018, arXiv:1812.00564; many
clients: SplitFed, Thapa et al., AAAI 2022, arXiv:2004.12088, Algorithms 1 and 2.

A client has the ends ``C`` of the model, the server its middle ``S``. Each step of the U-shape: ``h1 = C1(x)`` up,
``h2 = S(h1)`` down, the client finds ``L = loss(C2(h2), y)``, ``g2 = dL/dh2`` up, ``g1 = dL/dh1`` down. In the V-shape
the server has the end too: ``h1`` and ``y`` up, ``g1`` down. After a round clients' parts are averaged by examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_types import Ge

from coterie.core.adapter import Adapter, weighted_sum
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.site import ClientId, Site
from coterie.core.split import Passed, Side, portion_of, put_together
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation.keepings.none import Nothing
from coterie.federation.orders.random import Random
from coterie.federation.shelves import FORMS, KEEPINGS


class State(NamedTuple):
    """Both parts of the adapter, and the rounds played so far."""

    w: Adapter
    played: int = 0
    numbers: Mapping[str, float] = {}


@FORMS.register("split")
@dataclass(frozen=True)
class SplitModel:
    """One model in two places in training; when it is over everybody is sent the whole adapter.

    Attributes:
        cut: blocks at a client: the first ones, and of a U-Net as many last ones.
        shape: ``u``, targets and loss stay with the client; ``v``, the server has them: for texts only.
        server: its part takes all clients' steps ``in_turn`` (SplitFed v2), or ``copies`` of it are averaged (v1).
        keeping: what a client keeps for itself beside it: ``none``, or ``finetune`` at the end.
        fit: training; ``steps`` are those of each client, and ``clip`` bounds each part's gradient by itself.
    """

    cut: Annotated[int, Ge(1)] = 1
    shape: Literal["u", "v"] = "u"
    server: Literal["in_turn", "copies"] = "in_turn"
    keeping: Annotated[Keeping, KEEPINGS] = Nothing()
    fit: Fit = Fit()

    splits_layers: ClassVar[bool] = True
    needs_single_replies: ClassVar[bool] = True
    one_rank: ClassVar[bool] = True

    async def init(self, adapter: Adapter) -> State:
        return State(adapter)

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        return state

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        w, played, _ = state
        c, s = (portion_of(w, layers) for layers in (cohort.portions.client, cohort.portions.server))
        begun = dict((await cohort.map(self.client_begin, dict.fromkeys(cohort, c))).items())
        order = Random().path(list(begun), played, {}, cohort.seed)
        sides = {k: await cohort.side(s, self.fit, k if self.server == "copies" else "") for k in order}
        steps, g1 = {k: told["steps"] for k, told in begun.items()}, dict[ClientId, Passed]()
        h1 = {k: told["h1"] for k, told in begun.items() if told["steps"]}
        for step in range(1, 1 + max(steps.values(), default=0)):
            for turn in [list(h1)] if self.server == "copies" else [[k] for k in order if k in h1]:
                g1 |= await self.through(sides, {k: h1[k] for k in turn}, cohort)
            again = {k: g1.pop(k) for k in h1 if k in g1 and steps[k] > step}
            h1 = dict((await cohort.step(self.client_step, again)).items())
        replies = await cohort.map(self.client_end, {k: g1.get(k) for k in steps if k in g1 or not steps[k]})
        ends = {side: await side.end() for side in dict.fromkeys(sides[k] for k in replies)}
        if replies.weight:  # somebody has an example
            shares = [update.weight / replies.weight for _, update in replies.items()] if len(ends) > 1 else [1.0]
            s = weighted_sum([end.adapter for end in ends.values()], shares)
            w = put_together(w.layout, [replies.mean(), s])
        return State(w, played + 1, {f"server/{key}": x for end in ends.values() for key, x in end.numbers.items()})

    async def through(self, s: Mapping[str, Side], h1: Mapping[str, Passed], cohort: Cohort) -> Mapping[str, Passed]:
        if self.shape == "v":
            return {k: await s[k].loss(given) for k, given in h1.items()}
        h2 = {k: await s[k].forward(given) for k, given in h1.items()}
        g2 = await cohort.step(self.client_tail, h2)
        return {k: await s[k].backward(given) for k, given in g2.items()}

    async def client_begin(self, site: Site, c: Adapter) -> Mapping[str, Any]:  # at each client
        return {"steps": (n := await site.side.begin(c, self.fit)), "h1": await site.side.forward({}) if n else {}}

    async def client_tail(self, site: Site, h2: Passed) -> Passed:
        return await site.side.loss(h2)

    async def client_step(self, site: Site, g1: Passed) -> Passed:
        return await site.side.forward(await site.side.backward(g1))

    async def client_end(self, site: Site, g1: Passed | None) -> Update:
        got = await site.side.end(g1)
        return Update(got.adapter, got.num_examples, got.numbers)

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.w

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return {}

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return {"global": state.w}
