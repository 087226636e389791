"""How far clients go apart while they train alone: drift, in the space of effective updates.

Where each client's training moved what its adapter does by ``U_k``, and the server's step was ``U``, all of them
products of factors, so that the gauge does not matter:

    drift = sum_k w_k |U_k| / |D|                 D: what the adapter did before; left out while it does nothing
    disagreement = sum_k w_k |U_k|^2 / |U|^2 - 1

Where the step is the mean of what clients did, the second is ``sum_k w_k |U_k - U|^2 / |U|^2``: 0 where all moved
alike, above 1 where most of it cancelled. Only lengths travel, one number for each client. All numbers have six digits:
those beyond depend on how many threads multiplied.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from coterie.core.adapter import Adapter
from coterie.core.replies import Replies
from coterie.core.site import ClientId, Facts
from coterie.core.work import Fitted
from coterie.federation.groupings.weights import products

MOVED = "moved"  # among a client's numbers: |U_k|


def moved(start: Adapter, got: Fitted) -> dict[str, float]:
    """What a client tells of its training: its losses, and how far it moved what the adapter does."""
    return {**got.numbers, MOVED: float(f"{distance(start, got.adapter):.6g}")}


def distance(one: Adapter, other: Adapter) -> float:
    """``|b_1 a_1 - b_2 a_2|`` over all layers (Frobenius), scales within, in float64."""
    return sqrt(max(0.0, products([(one, other)])[0, 0]))


def drift(before: Adapter, after: Adapter, replies: Replies, facts: Mapping[ClientId, Facts]) -> dict[str, float]:
    """Drift and disagreement of one round of clients that share an adapter.

    Args:
        before: what the server had.
        after: what it made of the replies.
        replies: of those clients, whose numbers are read unless the run seals them.
        facts: by client, with the examples that weigh it.

    Returns:
        ``drift/relative`` and ``drift/disagreement``; what would be divided by nothing is left out.
    """
    if replies.sealed:
        return {}
    lengths = {c: numbers[MOVED] for c, numbers in replies.numbers.items() if MOVED in numbers}
    weight = sum(facts[c].num_examples for c in lengths)
    if not weight:
        return {}
    shares = {c: facts[c].num_examples / weight for c in lengths}
    had, step = distance(before.layout.zeros(), before), distance(before, after)
    found = {}
    if had:
        found["drift/relative"] = float(f"{sum(share * lengths[c] for c, share in shares.items()) / had:.6g}")
    if step:
        found["drift/disagreement"] = round(sum(s * lengths[c] ** 2 for c, s in shares.items()) / step**2 - 1, 5)
    return found
