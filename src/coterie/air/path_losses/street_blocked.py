"""A street with low base stations behind houses: UMi, no line of sight."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import ClassVar

from coterie.air.link import PathLoss
from coterie.air.path_losses.street import Street
from coterie.air.shelves import PATH_LOSSES


@PATH_LOSSES.register("street_blocked")
@dataclass(frozen=True)
class StreetBlocked(PathLoss):
    """A street, the station behind houses: ``22.4 + 35.3 lg d + 21.3 lg f - 0.3 (h - 1.5)``, no less than in sight;
    shadowing 7.82 dB.

    Attributes:
        height: of the client's antenna, in metres.
    """

    height: float = 1.5

    shadowing_db: ClassVar[float] = 7.82

    def loss_db(self, metres: float, gigahertz: float) -> float:
        blocked = 22.4 + 35.3 * log10(max(metres, 10)) + 21.3 * log10(gigahertz) - 0.3 * (self.height - 1.5)
        return max(Street().loss_db(metres, gigahertz), blocked)
