"""Small clusters lean on everybody: ``D_c <- (N_c D_c + n0 D_all) / (N_c + n0)`` (paper A, our reading, 1.4).

``D_all`` is the mean of all clusters by their examples. ``n0 = 0`` leaves clusters alone, a very large one is federated
averaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.groups import Interaction
from coterie.federation.interactions.similarity import mixed
from coterie.federation.shelves import INTERACTIONS


@INTERACTIONS.register("shrink")
@dataclass(frozen=True)
class Shrink(Interaction):
    """The fewer examples a cluster has, the more it takes from all together.

    Attributes:
        examples: ``n0``: what everybody's mean counts for, in training examples; a cluster with as many takes half.
    """

    examples: Annotated[float, Ge(0)] = 12.0

    def mix(
        self, clusters: Mapping[str, Adapter], centres: Mapping[str, Tensor], examples: Mapping[str, float], round: int
    ) -> Mapping[str, Adapter]:
        counts = np.array([examples[name] for name in clusters], dtype=np.float64)
        if not self.examples or len(clusters) < 2 or counts.sum() == 0:
            return clusters
        own = counts / (counts + self.examples)
        return mixed(clusters, np.diag(own) + (1 - own)[:, None] * (counts / counts.sum()))
