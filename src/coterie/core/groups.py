"""Who belongs with whom, and what groups learn from each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.site import ClientId, Facts


class Grouping(Protocol):
    """Who belongs with whom.

    Attributes:
        reads: ``wishes`` (encoded, at enrolment), ``adapters`` (after the first round), ``both`` (wishes at enrolment,
            adapters too after the first round) or ``nothing``.
    """

    reads: ClassVar[str]

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        """Groups clients by what it reads; the order of ``vectors`` decides nothing.

        Args:
            vectors: by client a wish, a pair of the common start and what the first training made of it, or a pair of
                a wish and such a pair or None; empty if nothing is read.
            facts: of at least these clients; of all where nothing is read.
            seed: of the run.
        """
        ...


@dataclass(frozen=True)
class Grouped:
    """A partition of clients, and numbers that say how sure it is.

    Attributes:
        labels: group by client; the names are arbitrary, a form makes them stable.
        numbers: for the journal: silhouette, number of groups, floors.
    """

    labels: Mapping[ClientId, str]
    numbers: Mapping[str, float]


class Split(Protocol):
    """How clusters are cut out of similarities."""

    def split(self, similarity: NDArray[np.float64], seed: int) -> tuple[NDArray[np.int64], dict[str, float]]:
        """Labels ``(n,)`` for cosines ``(n, n)``, and numbers for the journal: silhouette, floor."""
        ...


class Interaction(Protocol):
    """What clusters learn from each other on the server, once a round's averages are made."""

    def mix(
        self, clusters: Mapping[str, Adapter], centres: Mapping[str, Tensor], examples: Mapping[str, float], round: int
    ) -> Mapping[str, Adapter]:
        """New adapters by cluster.

        Args:
            clusters: adapter by cluster, in order of names.
            centres: mean wish of each cluster's members; empty where there are no wishes.
            examples: training examples of each cluster's members.
            round: rounds played, this one among them.
        """
        ...
