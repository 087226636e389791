"""Losses of fixed rows under many adapters, several jobs in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.bank.compose import Mix
from coterie.core.adapter import Adapter
from coterie.core.factors import changes_nothing
from coterie.core.progress import Steps, unheard
from coterie.core.room import with_room
from coterie.models.backbone import Rows, Shaped, count_of, sets_of

GROUP = 8  # rows of one adapter in a call, unless memory allows fewer
NO_ROOM = (
    "not even one row fits into memory: {}; lower backbone.side or backbone.context, or set backbone.quantise to int8 "
    "or nf4"
)

Piece = tuple[int, int, Rows]  # job, rows that count, rows filled up to a group


@dataclass(frozen=True)
class EvalJob:
    """Rows to score with one adapter; None is the bare backbone. With buckets the rows of each."""

    client: str
    adapter: Adapter | None
    rows: Rows | Shaped


def evaluate(bank: Bank, jobs: Sequence[EvalJob], progress: Steps = unheard) -> list[Tensor]:
    """Loss of every row of every job, float32 ``(rows,)``, in the jobs' order; bucket by bucket where there are some.

    Equal adapters on the very same rows (two members of a cluster on their style's pictures) are scored once, and one
    that changes nothing yet is the bare backbone. A call has ``bank.rows`` rows, always the same, so that numbers do
    not depend on neighbours; fewer where memory runs out.

    Raises:
        UserError: if not even one row fits into memory.
    """
    jobs = [replace(job, adapter=None) if _is_bare(bank, job.adapter) else job for job in jobs]
    return with_room(lambda: _evaluated(bank, jobs, progress), bank.fewer_rows, NO_ROOM)


def _is_bare(bank: Bank, adapter: Adapter | None) -> bool:
    return adapter is None or (adapter.layout.backbone == bank.backbone.digest and changes_nothing(adapter))


@torch.no_grad()
def _evaluated(bank: Bank, jobs: Sequence[EvalJob], progress: Steps) -> list[Tensor]:
    group = min(GROUP, bank.rows)
    groups = bank.rows // group
    first: dict[tuple[str, int], int] = {}
    same = [first.setdefault(_key(job), number) for number, job in enumerate(jobs)]
    pieces: list[Piece] = []
    for number in first.values():
        for rows in sets_of(jobs[number].rows):
            n = count_of(rows)
            for start in range(0, n, group):
                part = {key: value[start : start + group] for key, value in rows.items()}
                count = min(group, n - start)
                pieces.append((number, count, {key: _padded(value, group) for key, value in part.items()}))
    scored: dict[int, Tensor] = {}
    company = {n: bank.company([(job.adapter, 1.0)] if job.adapter is not None else []) for n, job in enumerate(jobs)}
    for places in _calls(pieces, groups, company):
        call = [pieces[place] for place in places]
        adapters = [jobs[number].adapter for number, _, _ in call]
        mixes: list[Mix] = [[(adapter, 1.0)] if adapter is not None else [] for adapter in adapters]
        empty = {key: torch.zeros_like(value) for key, value in call[0][2].items()}
        filled = [rows for _, _, rows in call] + [empty] * (groups - len(call))
        try:
            bank.bind_groups(mixes + [[]] * (groups - len(call)))
            losses = bank.backbone.losses({key: torch.cat([rows[key] for rows in filled]) for key in empty})
        finally:
            bank.release()
        for place, row in zip(places, losses.view(-1, group), strict=False):
            scored[place] = row[: pieces[place][1]].clone().cpu()
        progress(len(scored), len(pieces))
    results: list[list[Tensor]] = [[] for _ in jobs]
    for place, (number, _, _) in enumerate(pieces):
        results[number].append(scored[place])
    return [torch.cat(results[number]) if results[number] else torch.zeros(0) for number in same]


def _calls(pieces: list[Piece], groups: int, company: Mapping[int, int]) -> Iterator[list[int]]:
    """Places of the pieces that go together: in a call all examples have one shape, and all adapters one company,
    because a wider product is rounded otherwise.
    """
    by_shape: dict[tuple[tuple[torch.Size, ...], int], list[int]] = {}
    for place, (number, _, rows) in enumerate(pieces):
        by_shape.setdefault((tuple(value.shape for value in rows.values()), company[number]), []).append(place)
    for same in by_shape.values():
        for start in range(0, len(same), groups):
            yield same[start : start + groups]


def _key(job: EvalJob) -> tuple[str, int]:
    return job.adapter.digest if job.adapter is not None else "", id(job.rows)


def _padded(value: Tensor, rows: int) -> Tensor:
    missing = rows - len(value)
    return torch.cat([value, value.new_zeros(missing, *value.shape[1:])]) if missing else value
