"""Stable names for clusters: old and new groups are matched by shared members, and no name is ever used twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np


def loners(labels: Mapping[str, str]) -> list[str]:
    """Who is alone in its cluster, where there are several."""
    sizes = Counter(labels.values())
    return sorted(client for client, label in labels.items() if sizes[label] == 1 and len(sizes) > 1)


def stable_ids(old: Mapping[str, str], new: Mapping[str, str], used: int) -> tuple[dict[str, str], int]:
    """New labels with the old names where groups share members.

    Args:
        old: cluster by client so far; may be empty.
        new: group by client as a grouping gave it, under arbitrary names.
        used: how many names were ever given.

    Returns:
        Cluster by client, and how many names have been given now. Unmatched groups get fresh names, in order of
        their smallest client, so the names do not depend on how the grouping called them.
    """
    from scipy.optimize import linear_sum_assignment

    groups = sorted(set(new.values()), key=lambda g: min(c for c, h in new.items() if h == g))
    names = sorted(set(old.values()))
    shared = np.array([[sum(old.get(c) == n and g == h for c, h in new.items()) for n in names] for g in groups])
    given: dict[str, str] = {}
    if names:
        for i, j in zip(*linear_sum_assignment(-shared), strict=True):
            if shared[i, j] > 0:
                given[groups[i]] = names[j]
    for group in groups:
        if group not in given:
            given[group] = f"cluster-{used}"
            used += 1
    return {client: given[group] for client, group in sorted(new.items())}, used
