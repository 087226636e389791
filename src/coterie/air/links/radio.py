"""A link whose rate follows from power, band, distance, shadowing and fading: Shannon's bound (algorithms 12.1)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from coterie.air.link import Link, Occasion, PathLoss, Transfer, Way
from coterie.air.path_losses.street import Street
from coterie.air.radio import bits_per_second, watts
from coterie.air.shelves import LINKS, PATH_LOSSES
from coterie.core.seeds import seed_for


@LINKS.register("radio")
@dataclass(frozen=True)
class Radio(Link):
    """Everybody has a place in the cell and a shadow over it, drawn once; fading is drawn anew for each transfer.

    The default settings are of a 10 MHz channel. A transfer that would be slower than ``slowest`` waits for
    ``coherence`` and tries again; waiting costs the energy of listening circuits.

    Attributes:
        path_loss: how a signal gets weaker.
        near: metres that the nearest client can be away.
        far: and the farthest; places are uniform over the area between.
        megahertz: of the band, up and down alike.
        gigahertz: of the carrier.
        power_dbm: that a client sends with.
        station_dbm: that the other side sends with.
        gain_db: of both antennas together.
        noise_db: noise figure of the other side.
        own_noise_db: and of a client.
        shadowing: whether shadows are drawn.
        fading: ``rayleigh`` or ``none``.
        efficiency: of the modem against Shannon's bound.
        most: bits in a second and hertz at most.
        slowest: megabits a second below which nothing is sent.
        coherence: seconds until fading is another one.
        tries: after so many a transfer goes through at ``slowest``.
        amplifier: share of its power that an amplifier sends out.
        circuit: watts of everything else in the radio.
    """

    path_loss: Annotated[PathLoss, PATH_LOSSES] = Street()
    near: Annotated[float, Gt(0)] = 20.0
    far: Annotated[float, Gt(0)] = 200.0
    megahertz: Annotated[float, Gt(0)] = 10.0
    gigahertz: Annotated[float, Gt(0)] = 2.0
    power_dbm: float = 23.0
    station_dbm: float = 43.0
    gain_db: float = 0.0
    noise_db: float = 5.0
    own_noise_db: float = 9.0
    shadowing: bool = True
    fading: Literal["rayleigh", "none"] = "rayleigh"
    efficiency: Annotated[float, Gt(0), Le(1)] = 0.6
    most: Annotated[float, Gt(0)] = 7.4
    slowest: Annotated[float, Gt(0)] = 0.1
    coherence: Annotated[float, Ge(0)] = 0.1
    tries: Annotated[int, Ge(1)] = 50
    amplifier: Annotated[float, Gt(0), Le(1)] = 0.35
    circuit: Annotated[float, Ge(0)] = 0.1

    def metres(self, when: Occasion) -> float:
        """How far away a client is."""
        drawn = np.random.default_rng(seed_for(when.seed, 0, when.client, "air/place")).random()
        return float(sqrt(self.near**2 + drawn * (self.far**2 - self.near**2)))

    def rate(self, way: Way, when: Occasion, fade: float) -> float:
        """Bits a second, for a fading power of mean one. Sharers of the uplink have a part of the band each."""
        down = way == "down"
        sent = self.station_dbm if down else self.power_dbm
        shadow = np.random.default_rng(seed_for(when.seed, 0, when.client, "air/shadow")).standard_normal()
        lost = self.path_loss.loss_db(self.metres(when), self.gigahertz)
        lost += self.path_loss.shadowing_db * float(shadow) if self.shadowing else 0.0
        hertz = self.megahertz * 1e6 / (1 if down else when.sharers)
        received = watts(sent + self.gain_db - lost) * fade
        return bits_per_second(
            hertz, received, self.own_noise_db if down else self.noise_db, self.efficiency, self.most
        )

    def carry(self, num_bytes: int, way: Way, when: Occasion) -> Transfer:
        if not num_bytes:
            return Transfer(0.0, 0.0)
        rng = np.random.default_rng(seed_for(when.seed, when.round, when.client, f"air/{way}"))
        waited, slowest = 0.0, self.slowest * 1e6
        for _ in range(self.tries):
            rate = self.rate(way, when, float(rng.exponential()) if self.fading == "rayleigh" else 1.0)
            if rate >= slowest:
                break
            waited += self.coherence
        seconds = 8 * num_bytes / max(rate, slowest)
        power = self.circuit if way == "down" else watts(self.power_dbm) / self.amplifier + self.circuit
        return Transfer(waited + seconds, self.circuit * waited + power * seconds)
