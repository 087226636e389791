"""Stable names for clusters: old and new groups are matched by shared members, and no name is ever used twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

TIE = 1e-3  # what the nearness of centres counts beside one shared member


def loners(labels: Mapping[str, str]) -> list[str]:
    """Who is alone in its cluster, where there are several."""
    sizes = Counter(labels.values())
    return sorted(client for client, label in labels.items() if sizes[label] == 1 and len(sizes) > 1)


def stable_ids(
    old: Mapping[str, str],
    new: Mapping[str, str],
    used: int,
    likeness: Callable[[Collection[str], Collection[str]], float] = lambda some, others: 0.0,
) -> tuple[dict[str, str], int]:
    """New labels with the old names where groups share members: Hungarian assignment of the largest
    ``|old_i and new_j| + 1e-3 cos(mu_i, mu_j)`` over pairs that share one.

    Args:
        old: cluster by client so far; may be empty.
        new: group by client as a grouping gave it, under arbitrary names.
        used: how many names were ever given.
        likeness: cosine between the centres of two sets of clients; it decides where as many members are shared.

    Returns:
        Cluster by client, and how many names have been given now. Unmatched groups get fresh names, in order of
        their smallest client, so the names do not depend on how the grouping called them.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    groups = sorted(members_of(new).values())
    names = sorted(members_of({c: n for c, n in old.items() if c in new}).items())
    given: list[str] = [""] * len(groups)
    if names:
        row = {client: i for i, group in enumerate(groups) for client in group}
        column = {name: j for j, (name, _) in enumerate(names)}
        both = Counter((row[client], column[name]) for client, name in old.items() if client in new)
        worth = np.zeros((len(groups), len(names)))
        for (i, j), shared in both.items():
            worth[i, j] = shared + TIE * likeness(groups[i], names[j][1])
        for i, j in zip(*linear_sum_assignment(-worth), strict=True):
            if both[i, j] > 0:
                given[i] = names[j][0]
    for i, name in enumerate(given):
        if not name:
            given[i] = f"cluster-{used}"
            used += 1
    return dict(sorted((client, given[i]) for i, group in enumerate(groups) for client in group)), used


def members_of(labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Clients of each cluster, both in order of names.

    >>> members_of({"b": "x", "a": "x", "c": "w"})
    {'w': ['c'], 'x': ['a', 'b']}
    """
    members: dict[str, list[str]] = {name: [] for name in sorted(set(labels.values()))}
    for client in sorted(labels):
        members[labels[client]].append(client)
    return members
