"""A street with low base stations, seen directly: UMi, line of sight."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import ClassVar

from coterie.air.link import PathLoss
from coterie.air.shelves import PATH_LOSSES


@PATH_LOSSES.register("street")
@dataclass(frozen=True)
class Street(PathLoss):
    """A street, the station in sight: ``32.4 + 21 lg d + 20 lg f``; shadowing 4 dB."""

    shadowing_db: ClassVar[float] = 4.0

    def loss_db(self, metres: float, gigahertz: float) -> float:
        return 32.4 + 21 * log10(max(metres, 10)) + 20 * log10(gigahertz)
