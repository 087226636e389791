"""Denoising split between clients and server: CollaFuse, Allmendinger et al., 2024, arXiv:2402.19105, arXiv:2406.14429.

Among much noise pictures are alike, and the server can train there; the nearly clean steps, where a picture shows, stay
with the clients. At enrolment a client sends one noised version of each picture, ``z = a_c x0 + s_c eps``, for ever the
same; the server never sees ``x0`` or ``eps`` (``coterie.models.buried`` says why that is enough). Each round: clients
train below the cut, their adapters are averaged, then the server trains that average above the cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.form import Keeping
from coterie.core.rules import Aggregator
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.core.work import Fit
from coterie.federation.aggregators.mean import Mean
from coterie.federation.keepings.none import Nothing
from coterie.federation.shelves import AGGREGATORS, FORMS, KEEPINGS

Buried = Sequence[Mapping[str, Tensor]]  # one mapping for each shape of pictures


class State(NamedTuple):
    """The adapter, the rule's state, and what each client sent: noised pictures, perhaps encoded captions."""

    w: Adapter
    agg: Any = None
    buried: Mapping[ClientId, Buried] = {}
    numbers: Mapping[str, float] = {}


@FORMS.register("split_steps")
@dataclass(frozen=True)
class SplitSteps:
    """One adapter, trained by clients where there is little noise and by the server where there is much.

    What is left of a picture in what the server has is its signal-to-noise ratio at the cut, in the journal as
    ``buried/snr``; that is no guarantee of anything. The personal training of a keeping sees all noise levels.

    Attributes:
        cut: noise level up to which clients train; 0 is clean, 1 pure noise.
        server_steps: optimiser steps of the server in a round.
        captions: whether the server is told encoded captions, which can be read back; else it trains without any.
        aggregator: how the replies become one adapter.
        keeping: what a client keeps for itself beside it.
        fit: local training.
    """

    cut: Annotated[float, Ge(0.05), Le(0.95)] = 0.6
    server_steps: Annotated[int, Ge(0)] = 16
    captions: bool = False
    aggregator: Annotated[Aggregator, AGGREGATORS] = Mean()
    keeping: Annotated[Keeping, KEEPINGS] = Nothing()
    fit: Fit = Fit()

    needs_single_replies: ClassVar[bool] = True
    one_version: ClassVar[bool] = True
    trains_on_server: ClassVar[bool] = True

    async def init(self, adapter: Adapter) -> State:
        return State(adapter, self.aggregator.init(adapter))

    async def enrol(self, state: State, newcomers: Cohort) -> State:
        new = dict.fromkeys(client for client in newcomers if client not in state.buried)  # never a second version
        replies = await newcomers.map(self.client_bury, new)
        known = {**state.buried, **{client: sent["rows"] for client, sent in replies.items()}}
        here = {client: rows for client, rows in sorted(known.items()) if client in newcomers.everybody}
        ratios = [sent["snr"] for _, sent in replies.items()]
        return state._replace(buried=here, numbers={"buried/snr": max(ratios)} if ratios else {})

    async def client_bury(self, site: Site, _: None) -> Mapping[str, Any]:  # at each client, once
        rows, snr = await site.noised(self.cut, self.captions)
        sent = [{k: v.half() if v.is_floating_point() else v for k, v in some.items()} for some in rows]
        return {"rows": sent, "snr": snr}

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        part = (lambda client, update: "global") if self.aggregator.linear else None
        replies = await cohort.map(self.client_update, dict.fromkeys(cohort, state.w), part)
        agg, w, numbers = self.aggregator.apply(state.agg, state.w, replies)
        if self.server_steps and (rows := joined(list(state.buried.values()))):
            got = await cohort.train(w, replace(self.fit, steps=self.server_steps, levels=(self.cut, 1.0)), rows)
            w, numbers = got.adapter, {**numbers, **{f"server/{key}": value for key, value in got.numbers.items()}}
        return State(w, agg, state.buried, numbers)

    async def client_update(self, site: Site, w: Adapter) -> Update:  # at each client
        got = await site.fit(self.keeping.begin(site, w), replace(self.fit, levels=(0.0, self.cut)))
        await self.keeping.after_round(site, w, self.fit)
        return Update(self.keeping.share(site, got.adapter), weight=got.num_examples, numbers=got.numbers)

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return state.w

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        return await self.keeping.keep(site, served, self.fit)

    def restore(self, fields: Mapping[str, Any]) -> State:
        return State(**fields)

    def strata(self, state: State) -> Mapping[ClientId, str]:
        return {}

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        return {"global": state.w} if self.keeping.served_is_whole else {}


def joined(sent: Sequence[Buried]) -> Buried:
    """All clients' rows of each shape, at the width they had before they were sent."""
    wide = [[{k: v.float() if v.is_floating_point() else v for k, v in some.items()} for some in rows] for rows in sent]
    return [{name: torch.cat([rows[name] for rows in some]) for name in some[0]} for some in zip(*wide, strict=True)]
