"""Clusters on their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.groups import Interaction
from coterie.federation.shelves import INTERACTIONS


@INTERACTIONS.register("none")
@dataclass(frozen=True)
class Isolated(Interaction):
    """Clusters learn nothing from each other; hybrids are mixed when pictures are drawn."""

    def mix(
        self, clusters: Mapping[str, Adapter], centres: Mapping[str, Tensor], examples: Mapping[str, float], round: int
    ) -> Mapping[str, Adapter]:
        return clusters
