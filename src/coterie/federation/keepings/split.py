"""Factors ``a`` are shared, factors ``b`` stay: FedSA-LoRA, Guo et al., ICLR 2025, arXiv:2410.01463.

There ``a`` was found to learn what clients have in common and ``b`` what sets them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from coterie.core.adapter import Adapter, crossed
from coterie.core.form import Keeping
from coterie.core.site import Site
from coterie.core.work import Fit
from coterie.federation.shelves import KEEPINGS


@KEEPINGS.register("split")
@dataclass(frozen=True)
class Split(Keeping):
    """Everybody's ``a`` is averaged; what a client draws with is that and its own ``b``.

    The server's adapters have ``b`` zero and draw nothing, so the server publishes none. The aggregator must average
    factors (``mean``): in a product, ``b`` zero would take ``a`` with it.
    """

    served_is_whole: ClassVar[bool] = False

    def begin(self, site: Site, served: Adapter) -> Adapter:
        return crossed(a_of=served, b_of=site.memory.get("personal", served))

    def share(self, site: Site, trained: Adapter) -> Adapter:
        site.memory["personal"] = trained
        return crossed(a_of=trained, b_of=trained.layout.zeros())

    async def keep(self, site: Site, served: Adapter, fit: Fit) -> Adapter | None:
        return self.begin(site, served)
