"""Losses of fixed rows under many adapters, several jobs in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.bank.bank import Bank, Mix
from coterie.core.adapter import Adapter
from coterie.models.backbone import Rows

GROUPS, ROWS = 8, 8  # one call's shape, always the same, so that numbers do not depend on neighbours


@dataclass(frozen=True)
class EvalJob:
    """Rows to score with one adapter; None is the bare backbone."""

    client: str
    adapter: Adapter | None
    rows: Rows


@torch.no_grad()
def evaluate(
    bank: Bank, jobs: Sequence[EvalJob], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Tensor]:
    """Loss of every row of every job, float32 ``(rows,)``, in the jobs' order.

    Equal adapters on the very same rows (two members of a cluster on their style's pictures) are scored once.
    """
    first: dict[tuple[str, int], int] = {}
    same = [first.setdefault(_key(job), number) for number, job in enumerate(jobs)]
    pieces: list[tuple[int, int, Rows]] = []  # job, rows that count, exactly ROWS rows
    for number in first.values():
        job = jobs[number]
        n = len(next(iter(job.rows.values())))
        for start in range(0, n, ROWS):
            part = {key: value[start : start + ROWS] for key, value in job.rows.items()}
            count = min(ROWS, n - start)
            pieces.append((number, count, {key: _padded(value) for key, value in part.items()}))
    results: list[list[Tensor]] = [[] for _ in jobs]
    for start in range(0, len(pieces), GROUPS):
        call = pieces[start : start + GROUPS]
        adapters = [jobs[number].adapter for number, _, _ in call]
        mixes: list[Mix] = [[(adapter, 1.0)] if adapter is not None else [] for adapter in adapters]
        empty = {key: torch.zeros_like(value) for key, value in call[0][2].items()}
        filled = [rows for _, _, rows in call] + [empty] * (GROUPS - len(call))
        try:
            bank.bind_groups(mixes + [[]] * (GROUPS - len(call)))
            losses = bank.backbone.losses({key: torch.cat([rows[key] for rows in filled]) for key in empty})
        finally:
            bank.release()
        for (number, count, _), row in zip(call, losses.view(-1, ROWS), strict=False):
            results[number].append(row[:count].clone().cpu())
        progress(start + len(call), len(pieces))
    return [torch.cat(results[number]) if results[number] else torch.zeros(0) for number in same]


def _key(job: EvalJob) -> tuple[str, int]:
    return job.adapter.digest if job.adapter is not None else "", id(job.rows)


def _padded(value: Tensor) -> Tensor:
    missing = ROWS - len(value)
    return torch.cat([value, value.new_zeros(missing, *value.shape[1:])]) if missing else value
