"""Who is asked in a round, and how many of them are enough.

Over-selection: Bonawitz et al., MLSys 2019, arXiv:1902.01046: more clients are asked than are needed, and the first
that answer count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from coterie.core.seeds import seed_for


class Invited(NamedTuple):
    """``clients`` of a round, sorted; by stratum how many are ``enough``, where fewer than were asked are."""

    clients: tuple[str, ...]
    enough: Mapping[str, int]


def invite(
    clients: Sequence[str], share: float, over: float, strata: Mapping[str, str], run_seed: int, round: int
) -> Invited:
    """A share of the clients without replacement, at least one of every stratum, and ``over`` as many more.

    >>> invite(["a", "b", "c"], 1.0, 0.0, {}, 0, 1)
    Invited(clients=('a', 'b', 'c'), enough={})
    >>> len(invite(list("abcdefgh"), 0.5, 0.3, {}, 0, 1).clients), invite(list("abcdefgh"), 0.5, 0.3, {}, 0, 1).enough
    (6, {'': 4})
    """
    rng = np.random.default_rng(seed_for(run_seed, round, "", "cohort"))
    groups: dict[str, list[str]] = {}
    for client in sorted(clients):
        groups.setdefault(strata.get(client, ""), []).append(client)
    chosen: list[str] = []
    enough: dict[str, int] = {}
    for name in sorted(groups):
        members = groups[name]
        count = max(1, math.ceil(share * len(members) - 1e-9))
        asked = min(len(members), math.ceil((1 + over) * count - 1e-9))
        chosen += [members[i] for i in rng.permutation(len(members))[:asked]]
        if asked > count:
            enough[name] = count
    return Invited(tuple(sorted(chosen)), enough)


def first_to_answer(
    answered: Sequence[str],
    enough: Mapping[str, int],
    strata: Mapping[str, str],
    times: Mapping[str, float],
    run_seed: int,
    round: int,
) -> tuple[str, ...]:
    """Who of those that answered counts: of every stratum the fastest, as many as are enough, sorted.

    Args:
        answered: clients.
        enough: by stratum; where none is said, all.
        strata: of clients.
        times: that clients take; who takes equally long comes in an order drawn for the round.
        run_seed: of the run.
        round: number.
    """

    def arrival(client: str) -> tuple[float, float]:
        drawn = np.random.default_rng(seed_for(run_seed, round, client, "arrival")).random()
        return times.get(client, 1.0), float(drawn)

    counted: dict[str, int] = {}
    first = []
    for client in sorted(answered, key=arrival):
        name = strata.get(client, "")
        counted[name] = counted.get(name, 0) + 1
        if counted[name] <= enough.get(name, len(answered)):
            first.append(client)
    return tuple(sorted(first))
