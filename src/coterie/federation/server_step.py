"""From the mean of a round's replies to the next adapter: the step that every linear rule takes with its optimiser."""

from __future__ import annotations

from typing import Any

from coterie.core.adapter import Adapter, Dense, Layout, LowRank
from coterie.core.factors import only, with_factor
from coterie.core.replies import Replies
from coterie.core.rules import ServerOptimiser
from coterie.federation.optimisers.fedavg import FedAvgStep
from coterie.federation.products import cut

PLAIN = FedAvgStep()


def stepped(server: ServerOptimiser, state: Any, current: Adapter, mean: Adapter) -> tuple[Any, Adapter]:
    """The optimiser's next state, and ``current`` moved by it along ``mean - current``, in float64."""
    if server == PLAIN:  # the mean to the bit
        return None, mean
    row = current.row.double()
    state, row = server.step(state, row, mean.row.double() - row)
    return state, Adapter(mean.layout, row.float())


def stepped_factor(
    server: ServerOptimiser, state: Any, current: Adapter, factor: str, replies: Replies
) -> tuple[Any, Adapter]:
    """The same of one factor, for replies that hold no more than that; the other one stays as it is."""
    mean = replies.mean()
    begin = as_sent(current, mean.layout)
    state, part = stepped(server, state, only(begin, factor), mean)
    return state, with_factor(begin, factor, part)


def as_sent(current: Adapter, replied: Layout) -> Adapter:
    """What clients began from whose replies all have a layout: where that has a smaller rank, the cut to it."""
    ranks = [part.rank for part in replied.parts if isinstance(part, LowRank)]
    ranks += [p.shape[0] for p in replied.parts if isinstance(p, Dense) and p.name.endswith((".a", ".b"))]
    return cut(current, max(ranks)) if ranks else current
