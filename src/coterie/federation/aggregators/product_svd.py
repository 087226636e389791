"""The mean of the effective updates, at the best rank: FlexLoRA, arXiv:2402.11505; on stacked factors as in FLoRIST,
arXiv:2506.09199, so that the dense product is never formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from coterie.core.adapter import Adapter
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.federation.counted import counted
from coterie.federation.products import mean_of_products
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("product_svd")
@dataclass(frozen=True)
class ProductSvd(Aggregator):
    """Exact up to the current adapter's rank; clients may have different ranks.

    The share of energy that the rank could not hold is logged as ``aggregate/discarded_energy``.
    """

    exact: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    rewrites: ClassVar[bool] = True

    def init(self, adapter: Adapter) -> None:
        return None

    def apply(self, state: None, current: Adapter, replies: Replies) -> tuple[None, Adapter, Mapping[str, float]]:
        adapters, weights = counted(replies)
        if not adapters:
            return None, current, {}
        adapter, discarded = mean_of_products(adapters, weights, current)
        return None, adapter, {"aggregate/discarded_energy": discarded}
