"""Held-out losses of everybody's own pictures, out of what ``results.json`` holds."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple


class Losses(NamedTuple):
    """One person's own held-out pictures under the bare backbone, what was served, and what the person keeps."""

    bare: float
    served: float
    kept: float

    @property
    def removed(self) -> float:
        """Share of the bare backbone's loss that is gone with what the person keeps."""
        return 1 - self.kept / self.bare


def own_losses(results: Mapping[str, Any]) -> dict[str, Losses]:
    """By client, in order of ids; without those that were not scored bare and served. ``kept`` is the personal adapter
    where there is one.
    """
    bare, served, personal = (
        {s["client"]: float(s["loss"]) for s in results[where] if s["test"] == "own" and s["adapter"] == adapter}
        for where, adapter in (("history", "base"), ("final", "served"), ("final", "personal"))
    )
    both = sorted(bare.keys() & served.keys())
    return {client: Losses(bare[client], served[client], personal.get(client, served[client])) for client in both}


def mean_losses(losses: Mapping[str, Losses]) -> Losses | None:
    """Each the mean over people, or None if there are none."""
    return Losses(*(fmean(column) for column in zip(*losses.values(), strict=True))) if losses else None
