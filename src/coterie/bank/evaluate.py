"""Losses of fixed rows under many adapters, several jobs in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.bank.bank import Bank, Mix
from coterie.core.adapter import Adapter
from coterie.models.backbone import Rows, Shaped, count_of, sets_of

GROUPS, ROWS = 8, 8  # one call's shape, always the same, so that numbers do not depend on neighbours


Piece = tuple[int, int, Rows]  # job, rows that count, exactly ROWS rows


@dataclass(frozen=True)
class EvalJob:
    """Rows to score with one adapter; None is the bare backbone. With buckets the rows of each."""

    client: str
    adapter: Adapter | None
    rows: Rows | Shaped


@torch.no_grad()
def evaluate(
    bank: Bank, jobs: Sequence[EvalJob], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Tensor]:
    """Loss of every row of every job, float32 ``(rows,)``, in the jobs' order; bucket by bucket where there are some.

    Equal adapters on the very same rows (two members of a cluster on their style's pictures) are scored once.
    """
    first: dict[tuple[str, int], int] = {}
    same = [first.setdefault(_key(job), number) for number, job in enumerate(jobs)]
    pieces: list[Piece] = []
    for number in first.values():
        for rows in sets_of(jobs[number].rows):
            n = count_of(rows)
            for start in range(0, n, ROWS):
                part = {key: value[start : start + ROWS] for key, value in rows.items()}
                count = min(ROWS, n - start)
                pieces.append((number, count, {key: _padded(value) for key, value in part.items()}))
    scored: dict[int, Tensor] = {}
    for places in _calls(pieces):
        call = [pieces[place] for place in places]
        adapters = [jobs[number].adapter for number, _, _ in call]
        mixes: list[Mix] = [[(adapter, 1.0)] if adapter is not None else [] for adapter in adapters]
        empty = {key: torch.zeros_like(value) for key, value in call[0][2].items()}
        filled = [rows for _, _, rows in call] + [empty] * (GROUPS - len(call))
        try:
            bank.bind_groups(mixes + [[]] * (GROUPS - len(call)))
            losses = bank.backbone.losses({key: torch.cat([rows[key] for rows in filled]) for key in empty})
        finally:
            bank.release()
        for place, row in zip(places, losses.view(-1, ROWS), strict=False):
            scored[place] = row[: pieces[place][1]].clone().cpu()
        progress(len(scored), len(pieces))
    results: list[list[Tensor]] = [[] for _ in jobs]
    for place, (number, _, _) in enumerate(pieces):
        results[number].append(scored[place])
    return [torch.cat(results[number]) if results[number] else torch.zeros(0) for number in same]


def _calls(pieces: list[Piece]) -> Iterator[list[int]]:
    """Places of the pieces that go together: in a call all pictures have one shape."""
    by_shape: dict[torch.Size, list[int]] = {}
    for place, (_, _, rows) in enumerate(pieces):
        by_shape.setdefault(rows["x0"].shape, []).append(place)
    for same in by_shape.values():
        for start in range(0, len(same), GROUPS):
            yield same[start : start + GROUPS]


def _key(job: EvalJob) -> tuple[str, int]:
    return job.adapter.digest if job.adapter is not None else "", id(job.rows)


def _padded(value: Tensor) -> Tensor:
    missing = ROWS - len(value)
    return torch.cat([value, value.new_zeros(missing, *value.shape[1:])]) if missing else value
