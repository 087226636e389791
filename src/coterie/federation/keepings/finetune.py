"""A few steps of one's own from the served adapter, at the end: the usual baseline of personalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt

from coterie.core.adapter import Adapter
from coterie.core.form import Keeping
from coterie.core.site import Site
from coterie.core.work import Fit
from coterie.federation.shelves import KEEPINGS


@KEEPINGS.register("finetune")
@dataclass(frozen=True)
class Finetune(Keeping):
    """Trains the served adapter on the client's own pictures once, after the last round.

    Attributes:
        steps: optimiser steps.
        rate: share of the form's learning rate.
    """

    steps: Annotated[int, Ge(0)] = 16
    rate: Annotated[float, Gt(0)] = 0.5

    only_at_the_end: ClassVar[bool] = True

    async def keep(self, site: Site, served: Adapter, fit: Fit) -> Adapter | None:
        got = await site.fit(served, replace(fit, steps=self.steps, rate=fit.rate * self.rate))
        return got.adapter
