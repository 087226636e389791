"""Training on the server itself, of rows that clients have sent for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.seeds import seed_for
from coterie.core.work import Fit, Fitted
from coterie.engines.trampoline import SERVER, Work

if TYPE_CHECKING:
    from coterie.engines.cohort import RoundCohort


async def train(cohort: RoundCohort, start: Adapter, fit: Fit, rows: Sequence[Mapping[str, Tensor]]) -> Fitted:
    """See ``coterie.core.links.Links.train``."""
    call, cohort.call = cohort.call, cohort.call + 1
    seed = seed_for(cohort.seed, cohort.round, "", f"fit/server/{call}")
    prepared = rows[0] if len(rows) == 1 else tuple(rows)
    if not any(len(value) for some in rows for value in some.values()):
        return Fitted(start, 0, {})
    try:
        done: Fitted = await Work("fit", SERVER, (start, fit, prepared, seed))
    except UserError:
        raise
    except Exception as error:  # a loss that is no number
        raise UserError(f"round {cohort.round}: the server's training ended: {error}") from error
    return done
