"""Nothing of one's own: everybody keeps what the server serves."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.core.form import Keeping
from coterie.federation.shelves import KEEPINGS


@KEEPINGS.register("none")
@dataclass(frozen=True)
class Nothing(Keeping):
    """The served adapter is all there is."""
