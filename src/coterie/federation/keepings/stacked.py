"""A small adapter of one's own on top of the served one: ``W0 + D_cluster + D_own``, both active, one of them frozen.

Paper A (arXiv:2508.04745) keeps personal models on devices; a part that is added, and never pulled or replaced,
outlives what the server changes below it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Gt

from coterie.core.adapter import Adapter, LowRank, side_by_side
from coterie.core.form import Keeping
from coterie.core.seeds import seed_for
from coterie.core.site import Site
from coterie.core.work import Fit
from coterie.federation.shelves import KEEPINGS


@KEEPINGS.register("stacked")
@dataclass(frozen=True)
class Stacked(Keeping):
    """After each round: steps on the own part, with the adapter as it was received active and frozen below it.

    Attributes:
        rank: of the own part, or the served adapter's where that is smaller.
        steps: optimiser steps a round.
        rate: share of the form's learning rate.
    """

    rank: Annotated[int, Ge(1)] = 2
    steps: Annotated[int, Ge(0)] = 8
    rate: Annotated[float, Gt(0)] = 1.0

    async def after_round(self, site: Site, served: Adapter, fit: Fit) -> None:
        below = served if fit.beside is None else side_by_side(fit.beside, served)
        alone = replace(fit, steps=self.steps, rate=fit.rate * self.rate, mu=0.0)
        got = await site.fit(self._own(site, served), alone.on_top_of(below))
        site.memory["own"] = got.adapter

    async def keep(self, site: Site, served: Adapter, fit: Fit) -> Adapter | None:
        return side_by_side(served, self._own(site, served))

    def _own(self, site: Site, served: Adapter) -> Adapter:
        """The own part so far; its first directions are the client's, not those that the served adapter has already."""
        if "own" not in site.memory:
            rank = min(self.rank, *(part.rank for part in served.layout.parts if isinstance(part, LowRank)))
            return served.layout.with_rank(rank).start(seed_for(0, 0, site.client, "stacked"))
        own: Adapter = site.memory["own"]
        return own
