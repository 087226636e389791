"""The true groups, which only a simulation knows: the ceiling of every grouping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from coterie.core.errors import UserError
from coterie.core.groups import Grouped
from coterie.core.site import ClientId, Facts
from coterie.federation.shelves import GROUPINGS


@GROUPINGS.register("oracle")
@dataclass(frozen=True)
class Oracle:
    """Groups by the label that the data carries."""

    reads: ClassVar[str] = "nothing"

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        labels = {}
        for client, fact in sorted(facts.items()):
            if fact.truth is None:
                raise UserError(
                    f"form.grouping: oracle needs labelled data, and {client} has no label; set data.truth_column, or "
                    "take wishes"
                )
            labels[client] = fact.truth
        return Grouped(labels, {"group/count": float(len(set(labels.values())))})
