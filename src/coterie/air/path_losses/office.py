"""A room or an open office: InH, line of sight."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import ClassVar

from coterie.air.link import PathLoss
from coterie.air.shelves import PATH_LOSSES


@PATH_LOSSES.register("office")
@dataclass(frozen=True)
class Office(PathLoss):
    """Indoors, in sight: ``32.4 + 17.3 lg d + 20 lg f``; shadowing 3 dB."""

    shadowing_db: ClassVar[float] = 3.0

    def loss_db(self, metres: float, gigahertz: float) -> float:
        return 32.4 + 17.3 * log10(max(metres, 1)) + 20 * log10(gigahertz)
