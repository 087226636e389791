"""Training on the server itself: of rows that clients have sent for it, or of its part of a split model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.seeds import seed_for
from coterie.core.work import Fit, Fitted
from coterie.engines.exchanges import Exchanges
from coterie.engines.trampoline import SERVER, Work


async def train(cohort: Exchanges, start: Adapter, fit: Fit, rows: Sequence[Mapping[str, Tensor]]) -> Fitted:
    """See ``coterie.core.links.Links.train``."""
    seed = seed_for(cohort.seed, cohort.round, "", f"fit/server/{cohort.next_call()}")
    prepared = rows[0] if len(rows) == 1 else tuple(rows)
    if not any(len(value) for some in rows for value in some.values()):
        return Fitted(start, 0, {})
    done: Fitted = await on_server("fit", (start, fit, prepared, seed), cohort.round)
    return done


async def on_server(kind: str, payload: Any, round: int) -> Any:
    """What comes of a piece of the server's own training in a round.

    Raises:
        UserError: if that ended, as it does where a number is none any more.
    """
    try:
        return await Work(kind, SERVER, payload)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"round {round}: the server's training ended: {error}") from error
