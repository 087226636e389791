"""Ditto: Li et al., ICML 2021, arXiv:2012.04221. A personal adapter pulled toward the shared one, never sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge

from coterie.core.adapter import Adapter
from coterie.core.form import Keeping
from coterie.core.site import Site
from coterie.core.work import Fit
from coterie.federation.shelves import KEEPINGS


@KEEPINGS.register("ditto")
@dataclass(frozen=True)
class Ditto(Keeping):
    """After each round: steps on ``F_k(v) + strength / 2 |v - w|^2`` from the personal adapter ``v``.

    The pull is between factors, which share a gauge because everybody starts from the same ``a``.

    Attributes:
        strength: of the pull toward the served adapter; 0 is local training.
        steps: optimiser steps a round.
    """

    strength: Annotated[float, Ge(0)] = 0.1
    steps: Annotated[int, Ge(0)] = 8

    async def after_round(self, site: Site, served: Adapter, fit: Fit) -> None:
        personal = site.memory.get("personal", served)
        got = await site.fit(personal, replace(fit, steps=self.steps).toward(served, self.strength))
        site.memory["personal"] = got.adapter

    async def keep(self, site: Site, served: Adapter, fit: Fit) -> Adapter | None:
        personal: Adapter = site.memory.get("personal", served)
        return personal
