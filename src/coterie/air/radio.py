"""From power to rate: decibels, noise and Shannon's bound with what a real modem makes of it (algorithms 12.1)."""

from __future__ import annotations

import math

THERMAL_DBM = -174.0  # noise of one hertz at room temperature


def watts(dbm: float) -> float:
    """Decibels over a milliwatt as watts.

    >>> watts(30.0)
    1.0
    """
    return float(10 ** ((dbm - 30) / 10))


def noise(hertz: float, figure_db: float) -> float:
    """Watts of noise that a receiver with this noise figure hears in a band."""
    return hertz * watts(THERMAL_DBM + figure_db)


def bits_per_second(
    hertz: float, received: float, figure_db: float, efficiency: float = 1.0, most_per_hertz: float = math.inf
) -> float:
    """``min(efficiency * log2(1 + P / N), cap)`` for each hertz.

    Args:
        hertz: of the band.
        received: watts that arrive.
        figure_db: of the receiver.
        efficiency: of the modem against Shannon's bound.
        most_per_hertz: bits in a second and hertz that its densest modulation carries.
    """
    bound = math.log2(1 + received / noise(hertz, figure_db))
    return hertz * min(efficiency * bound, most_per_hertz)
