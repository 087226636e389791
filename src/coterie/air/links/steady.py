"""A link with rates that do not change, as they are measured over many people: two numbers and a delay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from coterie.air.link import Link, Occasion, Transfer, Way
from coterie.air.shelves import LINKS


@LINKS.register("steady")
@dataclass(frozen=True)
class Steady(Link):
    """Fixed rates; the power of the radio grows with the rate (Huang et al., MobiSys 2012, section 5).

    Attributes:
        up: megabits a second from a client, also across to another one.
        down: megabits a second to a client.
        delay: milliseconds before the first bit arrives.
        base_mw: milliwatts of the radio while it is on.
        up_mw: more of them for each megabit a second that is sent.
        down_mw: and that is received.
        share: of time that a sender may be on the air; what is left must be waited for.
        message: bytes that fit into one message, each of which has the delay; 0 is no limit.
    """

    up: Annotated[float, Gt(0)] = 10.0
    down: Annotated[float, Gt(0)] = 10.0
    delay: Annotated[float, Ge(0)] = 0.0
    base_mw: Annotated[float, Ge(0)] = 0.0
    up_mw: Annotated[float, Ge(0)] = 0.0
    down_mw: Annotated[float, Ge(0)] = 0.0
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    message: Annotated[int, Ge(0)] = 0

    def carry(self, num_bytes: int, way: Way, when: Occasion) -> Transfer:
        if not num_bytes:
            return Transfer(0.0, 0.0)
        rate, more = (self.down, self.down_mw) if way == "down" else (self.up / when.sharers, self.up_mw)
        on = 8 * num_bytes / (rate * 1e6)
        messages = -(-num_bytes // self.message) if self.message else 1
        waiting = on / self.share - on if way != "down" else 0.0
        return Transfer(on + waiting + messages * self.delay / 1e3, on * (self.base_mw + more * rate) / 1e3)
