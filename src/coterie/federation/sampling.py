"""Who joins a round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from coterie.core.seeds import seed_for


def sample(
    clients: Sequence[str], share: float, strata: Mapping[str, str], run_seed: int, round: int
) -> tuple[str, ...]:
    """A share of the clients without replacement, at least one of every stratum, sorted.

    >>> sample(["a", "b", "c"], 1.0, {}, 0, 1)
    ('a', 'b', 'c')
    """
    rng = np.random.default_rng(seed_for(run_seed, round, "", "cohort"))
    groups: dict[str, list[str]] = {}
    for client in sorted(clients):
        groups.setdefault(strata.get(client, ""), []).append(client)
    chosen: list[str] = []
    for name in sorted(groups):
        members = groups[name]
        count = max(1, math.ceil(share * len(members) - 1e-9))
        chosen += [members[i] for i in rng.permutation(len(members))[:count]]
    return tuple(sorted(chosen))
