"""A run on a clock of its own: from bytes and operations to seconds and joules, round by round (algorithms 12.4).

In a round clients are sent what they start from, train, and send back. Where they do so side by side a round takes as
long as its slowest client; where something goes from device to device, everything happens one after another. Bytes of
attempts that came to nothing are paid for as well; what only a simulation measures is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from coterie.air.link import Link, Occasion, Transfer, Way
from coterie.air.machine import Machine

PAID = ("enrol", "train", "keep")  # purposes that a deployment has too
Operations = Callable[[int, str], tuple[float, float]]
"""Operations of a client in a round, and its pace."""


@dataclass(frozen=True)
class Air:
    """What carries and what computes.

    Attributes:
        cell: between clients and the server.
        device: from client to client.
        backhaul: between edges and the cloud.
        machine: of a median client.
        sharing: of the uplink: ``own`` (everybody has all of it), ``fdma`` (everybody of a round a part of the band) or
            ``tdma`` (one after another).
    """

    cell: Link
    device: Link
    backhaul: Link
    machine: Machine = Machine()
    sharing: Literal["own", "fdma", "tdma"] = "own"


@dataclass
class Cost:
    """Of one client in one round: seconds by what they go into, and joules."""

    down: float = 0.0
    compute: float = 0.0
    up: float = 0.0
    across: float = 0.0
    joules: dict[str, float] = field(default_factory=lambda: {"radio": 0.0, "compute": 0.0})

    @property
    def seconds(self) -> float:
        return self.down + self.compute + self.up + self.across


@dataclass(frozen=True)
class Lap:
    """One round.

    Attributes:
        round: number.
        seconds: that it takes.
        parts: of them, those of the client that everybody waits for; of all where one comes after another.
        clients: what each of them spends.
        slowest: that client; empty where one comes after another.
    """

    round: int
    seconds: float
    parts: Mapping[str, float]
    clients: Mapping[str, Cost]
    slowest: str

    @property
    def joules(self) -> float:
        return sum(sum(cost.joules.values()) for cost in self.clients.values())


def laps(rows: Iterable[Sequence[Any]], operations: Operations, air: Air, seed: int) -> list[Lap]:
    """Every round on the clock.

    Args:
        rows: of a meter: round, client, direction, link, purpose, wasted, bytes, messages.
        operations: that a client computes in a round.
        air: what carries and computes.
        seed: of the run, from which all luck of links follows.
    """
    rounds: dict[int, dict[tuple[str, Way, str], int]] = {}
    for number, client, way, link, purpose, _, num_bytes, _ in rows:
        if purpose in PAID:
            sent = rounds.setdefault(int(number), {})
            sent[client, way, link] = sent.get((client, way, link), 0) + int(num_bytes)
    found, now = [], 0.0
    for number, sent in sorted(rounds.items()):
        lap = _lap(number, sent, operations, air, seed, now)
        found.append(lap)
        now += lap.seconds
    return found


def _lap(
    number: int, sent: Mapping[tuple[str, Way, str], int], operations: Operations, air: Air, seed: int, now: float
) -> Lap:
    clients = sorted({client for client, _, _ in sent})
    senders = len({client for client, way, _ in sent if way == "up"})
    sharers = senders if air.sharing == "fdma" and senders else 1
    costs = {client: Cost() for client in clients}
    for client in clients:
        done, pace = operations(number, client)
        costs[client].compute = air.machine.seconds(done, pace)
        costs[client].joules["compute"] = air.machine.joules(costs[client].compute)
    for way in ("down", "up", "across"):  # what is sent up begins when training is over
        for (client, direction, link), num_bytes in sorted(sent.items()):
            if direction == way:
                at = now + costs[client].seconds
                when = Occasion(seed, number, client, sharers if way == "up" else 1, at)
                _add(costs[client], way, _link(air, way, link).carry(num_bytes, way, when))
    if any(way == "across" for _, way, _ in sent):
        parts = _together(costs.values())
        return Lap(number, sum(parts.values()), parts, costs, "")
    slowest = max(clients, key=lambda c: (costs[c].seconds, c))
    parts = _together([costs[slowest]])
    if air.sharing == "tdma":  # training goes on while others send
        waited = max(cost.down + cost.compute for cost in costs.values())
        slowest = max(clients, key=lambda c: (costs[c].down + costs[c].compute, c))
        parts = _together([costs[slowest]]) | {"up": sum(cost.up for cost in costs.values())}
        return Lap(number, waited + parts["up"], parts, costs, slowest)
    return Lap(number, costs[slowest].seconds, parts, costs, slowest)


def _link(air: Air, way: Way, link: str) -> Link:
    if way == "across":
        return air.device
    return air.backhaul if link == "backhaul" else air.cell


def _add(cost: Cost, way: Way, transfer: Transfer) -> None:
    setattr(cost, way, getattr(cost, way) + transfer.seconds)
    cost.joules["radio"] += transfer.joules


def _together(costs: Iterable[Cost]) -> dict[str, float]:
    some = list(costs)
    return {part: sum(getattr(cost, part) for cost in some) for part in ("down", "compute", "up", "across")}
