"""The shortest path that visits everybody once: exact by dynamic programming, Held and Karp, 1962, for few clients.

For more the best greedy path is mended by 2-opt (Croes, 1958): as long as reversing a stretch makes it shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from coterie.core.links import Costs
from coterie.core.site import ClientId
from coterie.federation.orders.nearest import greedy, require_costs
from coterie.federation.shelves import ORDERS

EXACT = 10  # clients; the table has 2^n n entries


@ORDERS.register("shortest")
@dataclass(frozen=True)
class Shortest:
    """Exact for up to ten clients, else as short as 2-opt makes it. Begins at the end with the smaller id.

    The path is the same in every round in which the same clients take part, and so is the client who comes last.
    """

    def path(self, clients: Sequence[ClientId], round: int, costs: Costs, seed: int) -> Sequence[ClientId]:
        require_costs(clients, costs, "shortest")
        if len(clients) < 3:
            return sorted(clients)
        found = exact(clients, costs) if len(clients) <= EXACT else mended(clients, costs)
        return found if found[0] < found[-1] else found[::-1]


def length(path: Sequence[ClientId], costs: Costs) -> float:
    """Sum of the costs of all hops."""
    return sum(costs[hop] for hop in pairwise(path))


def exact(clients: Sequence[ClientId], costs: Costs) -> list[ClientId]:
    """``best[S, j] = min_i best[S - j, i] + cost(i, j)`` over all sets of clients, with any first one."""
    n = len(clients)
    best = {(1 << j, j): (0.0, [j]) for j in range(n)}
    for size in range(2, n + 1):
        for some in combinations(range(n), size):
            bits = sum(1 << j for j in some)
            for j in some:
                before = [(best[bits ^ (1 << j), i], i) for i in some if i != j]
                best[bits, j] = min(
                    (so_far + costs[clients[i], clients[j]], [*path, j]) for (so_far, path), i in before
                )
    _, found = min(best[(1 << n) - 1, j] for j in range(n))
    return [clients[j] for j in found]


def mended(clients: Sequence[ClientId], costs: Costs) -> list[ClientId]:
    """2-opt on the shortest of the greedy paths."""
    path = min((greedy(first, clients, costs) for first in clients), key=lambda p: (length(p, costs), p))
    better = True
    while better:
        better = False
        for i, j in combinations(range(len(path)), 2):
            other = path[:i] + path[i : j + 1][::-1] + path[j + 1 :]
            if length(other, costs) < length(path, costs) - 1e-12:
                path, better = other, True
    return path
