"""Nothing of one's own: everybody keeps what the server serves."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.core.adapter import Adapter
from coterie.core.protocols import Site
from coterie.core.work import Fit
from coterie.federation.shelves import KEEPINGS


@KEEPINGS.register("none")
@dataclass(frozen=True)
class Nothing:
    """The served adapter is all there is."""

    async def after_round(self, site: Site, served: Adapter, fit: Fit) -> None:
        return None

    async def keep(self, site: Site, served: Adapter, fit: Fit) -> Adapter | None:
        return None
