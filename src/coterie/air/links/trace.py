"""A link whose rates were recorded: a table of seconds and rates, played from the beginning again when it ends."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from coterie.air.link import Link, Occasion, Transfer, Way
from coterie.air.shelves import LINKS
from coterie.core.errors import UserError
from coterie.core.seeds import seed_for

COLUMNS = ("seconds", "up", "down")
Trace = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


@LINKS.register("trace")
@dataclass(frozen=True)
class Recorded(Link):
    """Rates out of a file with the columns ``seconds, up, down``: from when on which megabits a second.

    Everybody begins at a place of the recording of their own, drawn once. The first row is second 0; the last row lasts
    as long as the one before it.

    Attributes:
        file: a CSV file.
        delay: milliseconds before the first bit arrives.
        base_mw: milliwatts of the radio while it is on.
        up_mw: more of them for each megabit a second that is sent.
        down_mw: and that is received.
    """

    file: str = ""
    delay: Annotated[float, Ge(0)] = 0.0
    base_mw: Annotated[float, Ge(0)] = 0.0
    up_mw: Annotated[float, Ge(0)] = 0.0
    down_mw: Annotated[float, Ge(0)] = 0.0

    def carry(self, num_bytes: int, way: Way, when: Occasion) -> Transfer:
        if not num_bytes:
            return Transfer(0.0, 0.0)
        starts, up, down = read(self.file)
        rates, more = (down, self.down_mw) if way == "down" else ([r / when.sharers for r in up], self.up_mw)
        length = starts[-1]
        drawn = np.random.default_rng(seed_for(when.seed, 0, when.client, "air/trace")).random()
        place, left, seconds, joules = (drawn * length + when.at) % length, 8.0 * num_bytes, 0.0, 0.0
        k = int(np.searchsorted(starts, place, side="right")) - 1
        while left > 0:
            lasts = starts[k + 1] - place
            used = min(lasts, left / (rates[k] * 1e6)) if rates[k] else lasts
            left = left - used * rates[k] * 1e6 if used == lasts else 0.0
            seconds += used
            joules += used * (self.base_mw + more * rates[k]) / 1e3
            k = (k + 1) % len(rates)
            place = starts[k]
        return Transfer(seconds + self.delay / 1e3, joules)


@cache
def read(file: str) -> Trace:
    """Starts of the rows with the end of the last one, rates up, rates down.

    Raises:
        UserError: if the file is no such table, or nothing can ever be sent over it.
    """
    try:
        with Path(file).open(encoding="utf-8", newline="") as text:
            rows = [[float(row[key]) for key in COLUMNS] for row in csv.DictReader(text)]
    except OSError as error:
        raise UserError(
            f"{file or 'file'}: cannot be read ({error.strerror}); wanted a CSV file of a recording"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: wanted numbers in the columns {', '.join(COLUMNS)} ({error})") from None
    starts = [row[0] for row in rows]
    if len(rows) < 2 or starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
        raise UserError(f"{file}: wanted two rows or more with growing seconds from 0 on")
    up, down = tuple(row[1] for row in rows), tuple(row[2] for row in rows)
    if min(*up, *down) < 0 or not max(up) or not max(down):
        raise UserError(f"{file}: rates below zero, or none above it; nothing would ever arrive")
    return (*starts, 2 * starts[-1] - starts[-2]), up, down
