"""The model of most papers on federated learning over the air: 3GPP TR 36.814, macro cells at 2 GHz."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import ClassVar

from coterie.air.link import PathLoss
from coterie.air.shelves import PATH_LOSSES


@PATH_LOSSES.register("macro")
@dataclass(frozen=True)
class Macro(PathLoss):
    """A large cell: ``128.1 + 37.6 lg d`` with kilometres, whatever the carrier; shadowing 8 dB."""

    shadowing_db: ClassVar[float] = 8.0

    def loss_db(self, metres: float, gigahertz: float) -> float:
        return 128.1 + 37.6 * log10(max(metres, 10) / 1000)
