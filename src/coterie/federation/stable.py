"""Stable names for clusters: old and new groups are matched by shared members, and no name is ever used twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np


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

    groups = list(dict.fromkeys(group for _, group in sorted(new.items())))
    names = sorted(set(old.values()))
    both = Counter((group, old[client]) for client, group in new.items() if client in old)
    shared = np.array([[both[group, name] for name in names] for group in groups])
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
