"""Between two devices near the ground: the usual companion of ``macro`` in papers on device-to-device links."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import ClassVar

from coterie.air.link import PathLoss
from coterie.air.shelves import PATH_LOSSES


@PATH_LOSSES.register("between_devices")
@dataclass(frozen=True)
class BetweenDevices(PathLoss):
    """Device to device: ``148 + 40 lg d`` with kilometres, whatever the carrier; shadowing 7 dB."""

    shadowing_db: ClassVar[float] = 7.0

    def loss_db(self, metres: float, gigahertz: float) -> float:
        return 148.0 + 40 * log10(max(metres, 10) / 1000)
