"""A town with stations above the roofs, seen directly: UMa, line of sight."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import ClassVar

from coterie.air.link import PathLoss
from coterie.air.shelves import PATH_LOSSES


@PATH_LOSSES.register("town")
@dataclass(frozen=True)
class Town(PathLoss):
    """A town, the station in sight: ``28 + 22 lg d + 20 lg f``; shadowing 4 dB."""

    shadowing_db: ClassVar[float] = 4.0

    def loss_db(self, metres: float, gigahertz: float) -> float:
        return 28.0 + 22 * log10(max(metres, 10)) + 20 * log10(gigahertz)
