"""Which replies count in an average, and for how much."""

from __future__ import annotations

from coterie.core.adapter import Adapter
from coterie.core.replies import Replies


def counted(replies: Replies) -> tuple[list[Adapter], list[float]]:
    """Adapters of clients that have examples, and each one's share of all these examples; empty if nobody has any."""
    updates = [update for _, update in replies.items() if update.weight > 0]
    total = sum(update.weight for update in updates)
    return [update.adapter for update in updates], [update.weight / total for update in updates]
