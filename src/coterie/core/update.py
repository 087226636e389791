"""What a client sends back: the trained adapter itself, never a difference of factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from coterie.core.adapter import Adapter


@dataclass(frozen=True)
class Update:
    """A trained adapter, how much it counts, and plain numbers for the journal.

    A difference of factors would lose nearly all of a product rule's signal when ``b`` starts at zero; compressing
    against the start is a codec's business.
    """

    adapter: Adapter
    weight: float
    numbers: Mapping[str, float] = field(default_factory=dict)
