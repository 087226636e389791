"""A town with stations above the roofs, behind houses: UMa, no line of sight."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import ClassVar

from coterie.air.link import PathLoss
from coterie.air.path_losses.town import Town
from coterie.air.shelves import PATH_LOSSES


@PATH_LOSSES.register("town_blocked")
@dataclass(frozen=True)
class TownBlocked(PathLoss):
    """A town, the station behind houses: ``13.54 + 39.08 lg d + 20 lg f - 0.6 (h - 1.5)``, no less than in sight;
    shadowing 6 dB.

    Attributes:
        height: of the client's antenna, in metres.
    """

    height: float = 1.5

    shadowing_db: ClassVar[float] = 6.0

    def loss_db(self, metres: float, gigahertz: float) -> float:
        blocked = 13.54 + 39.08 * log10(max(metres, 10)) + 20 * log10(gigahertz) - 0.6 * (self.height - 1.5)
        return max(Town().loss_db(metres, gigahertz), blocked)
