"""The factor average: McMahan et al., arXiv:1602.05629, on LoRA factors as in FedIT, arXiv:2305.05644."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from coterie.core.adapter import Adapter
from coterie.core.protocols import Replies
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("mean")
@dataclass(frozen=True)
class Mean:
    """Averages ``a`` and ``b`` apart, weighted by examples. Cheap and linear; not the mean of the products."""

    exact: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = True

    def init(self, adapter: Adapter) -> None:
        return None

    def apply(self, state: None, current: Adapter, replies: Replies) -> tuple[None, Adapter, Mapping[str, float]]:
        if replies.weight <= 0:  # nobody has an example: nothing was learned, nothing changes
            return None, current, {}
        return None, replies.mean(), {}
