"""Local training of many clients in one pass, equal to training each alone.

Every pass has the same shape: ``width`` slots of ``batch`` rows, idle slots filled with zeros, and spare ones last
where the network's sizes need them (``coterie.bank.shape``). A client's result is then a function of its own data and
that shape, bit for bit, and never of its mates or of its slot. With buckets a pass has the shape of one of them and
trains the clients whose turn it is there (``coterie.bank.schedule``); the others' slots are idle. All that holds for
one thread: more of them cut a tensor at places that fall inside a client's rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.bank.core import Core
from coterie.bank.optimiser import optimiser_for
from coterie.bank.schedule import Turn, passes, plain_turns, turns
from coterie.bank.shape import sizes_of, slots_for
from coterie.core.adapter import Adapter, LowRank
from coterie.core.progress import Steps, unheard
from coterie.core.work import EVERY_LEVEL, Fit, Fitted, Levels
from coterie.models.backbone import Rows, Shaped, count_of, sets_of


class NotFinite(Exception):
    """A client's loss or adapter is no number any more; it stands for the client's result, its mates go on."""


@dataclass(frozen=True)
class FitJob:
    """One client's training: where it starts, how, on what, and the seed of all its draws.

    With buckets the jobs of one call have the same ones in the same order, also where a client has no picture.
    """

    client: str
    start: Adapter
    fit: Fit
    prepared: Rows | Shaped
    seed: int

    @property
    def rank_beside(self) -> int:
        """Largest rank of what is active and frozen beside; 0 where nothing is."""
        parts = self.fit.beside.layout.parts if self.fit.beside is not None else ()
        return max((part.rank for part in parts if isinstance(part, LowRank)), default=0)

    @property
    def turns(self) -> list[Turn]:
        """When it takes its steps, and in which bucket."""
        if not isinstance(self.prepared, tuple):
            return plain_turns(self.fit.steps)
        return turns([count_of(rows) for rows in self.prepared], self.fit.steps, self.seed)


def fit(bank: Bank, jobs: Sequence[FitJob], progress: Steps = unheard) -> list[Fitted | NotFinite]:
    """Trains all jobs; answers in their order.

    Clients with the same batch size and optimiser share passes, those on top of frozen adapters of one rank among
    themselves; within them those with the most steps go together, so that slots stay busy.
    """

    def company(i: int) -> tuple[int, int, str]:
        return jobs[i].fit.batch, jobs[i].rank_beside, jobs[i].fit.optimiser

    order = sorted(range(len(jobs)), key=lambda i: (company(i), -jobs[i].fit.steps, jobs[i].client))
    chunks: list[list[int]] = []
    for _, same in groupby(order, key=company):
        indices = list(same)
        chunks += [indices[k : k + bank.width] for k in range(0, len(indices), bank.width)]
    schedules = [passes([jobs[i].turns for i in chunk]) for chunk in chunks]
    total = sum(map(len, schedules))
    results: dict[int, Fitted | NotFinite] = {}
    done = 0
    sizes = sizes_of(bank.backbone, jobs[0].prepared) if total and bank.width > 1 else None
    for chunk, schedule in zip(chunks, schedules, strict=True):
        members = [jobs[i] for i in chunk]
        begun = done

        def tell(step: int, begun: int = begun) -> None:
            progress(begun + step, total)

        bank.reserve(slots_for(bank.width, members[0].fit.batch, sizes))
        try:
            results |= dict(zip(chunk, _fit_chunk(bank, members, schedule, tell), strict=True))
        finally:
            bank.release()
        done += len(schedule)
    return [results[i] for i in range(len(jobs))]


def _fit_chunk(
    bank: Bank, jobs: list[FitJob], schedule: Sequence[tuple[int, list[int]]], tell: Callable[[int], None]
) -> list[Fitted | NotFinite]:
    batch = jobs[0].fit.batch
    for slot in range(len(bank.master)):
        bank.load(slot, jobs[slot].start if slot < len(jobs) else None)
    bank.bind_training([job.fit.beside for job in jobs])
    anchors = {
        k: bank.padded(job.start if job.fit.anchor is None else job.fit.anchor).to(bank.device)
        for k, job in enumerate(jobs)
        if job.fit.mu
    }
    trained = {k: bank.factor(job.fit.train) for k, job in enumerate(jobs) if job.fit.train is not None}
    begun = {k: bank.master[k].clone() for k in trained}
    drifts = {k: bank.padded(job.fit.drift).to(bank.device) for k, job in enumerate(jobs) if job.fit.drift is not None}
    generators = [torch.Generator().manual_seed(job.seed) for job in jobs]
    cores = {k: Core.begin(bank, bank.master[k], job.fit.within) for k, job in enumerate(jobs) if job.fit.within}
    rows = [cores[k].flat if k in cores else torch.nn.Parameter(bank.master[k]) for k in range(len(jobs))]
    optimiser = optimiser_for(rows, [job.fit.weight_decay for job in jobs], bank.moments, jobs[0].fit.optimiser)
    losses: list[list[float]] = [[] for _ in jobs]
    failed: set[int] = set()
    for number, (bucket, turn) in enumerate(schedule, 1):
        live = [k for k in turn if k not in failed]
        if not live:
            continue
        mean = _client_losses(bank, jobs, bucket, live, generators, batch)
        with warnings.catch_warnings():  # strided gradients are meant: they are views of one flat tensor
            warnings.filterwarnings("ignore", message="grad and param do not obey")
            mean[live].sum().backward()
        values = mean.detach().tolist()
        gradient = bank.grad if bank.dtype == torch.float32 else bank.grad.float()
        for k in live:
            losses[k].append(values[k])
            if not is_finite(values[k]):
                failed.add(k)
                continue
            optimiser.param_groups[k]["lr"] = rate_at(jobs[k].fit, len(losses[k]) - 1)
            pulled = with_pull(gradient[k], bank.master[k], jobs[k].fit, anchors.get(k))
            mine = cores[k].seen(pulled) if k in cores else pulled * trained[k] if k in trained else pulled
            rows[k].grad = clipped(mine, jobs[k].fit.clip, drifts.get(k))
        optimiser.step()
        for k, mine in trained.items():  # decay would move what has no gradient
            bank.master[k] = torch.where(mine, bank.master[k], begun[k])
        for k, core in cores.items():
            core.write(bank.master[k])
        optimiser.zero_grad(set_to_none=True)
        bank.sync()
        bank.grad.zero_()
        tell(number)
    return [_result(bank, k, job, losses[k]) for k, job in enumerate(jobs)]


def _client_losses(
    bank: Bank, jobs: list[FitJob], bucket: int, live: list[int], generators: list[torch.Generator], batch: int
) -> Tensor:
    """Each slot's mean loss, ``(slots,)``; the sum over clients is what is differentiated, never their mean."""
    examples = {k: sets_of(jobs[k].prepared)[bucket] for k in live}
    drawn = {
        k: bank.backbone.draw(examples[k], batch, jobs[k].fit.drop, generators[k], *levels_of(jobs[k].fit))
        for k in live
    }
    some = drawn[live[0]]
    idle = {name: torch.zeros_like(value) for name, value in some.items()}
    slots = [drawn.get(k, idle) for k in range(len(bank.master))]
    rows = {name: torch.cat([slot[name] for slot in slots]) for name in some}
    return bank.backbone.losses(rows).view(-1, batch).mean(1)


def with_pull(gradient: Tensor, row: Tensor, fit: Fit, anchor: Tensor | None) -> Tensor:
    """The pull toward the anchor added, in place."""
    if anchor is not None:
        gradient += fit.mu * (row - anchor)
    return gradient


def clipped(gradient: Tensor, clip: float, drift: Tensor | None) -> Tensor:
    """The norm of all that a client trains clipped, what corrects its drift added; in place."""
    if clip:
        gradient *= (clip / (torch.linalg.vector_norm(gradient) + 1e-6)).clamp(max=1.0)
    if drift is not None:
        gradient += drift
    return gradient


def levels_of(fit: Fit) -> tuple[Levels, ...]:
    """Said only where it is not all: a backbone without noise knows nothing of levels."""
    return () if fit.levels == EVERY_LEVEL else (fit.levels,)


def rate_at(fit: Fit, step: int) -> float:
    return fit.rate * min(1.0, (step + 1) / fit.warmup) if fit.warmup else fit.rate


def _result(bank: Bank, slot: int, job: FitJob, losses: list[float]) -> Fitted | NotFinite:
    adapter = bank.read(slot, job.start.layout) if job.fit.steps else job.start
    if not all(map(is_finite, losses)) or not torch.isfinite(adapter.row).all():
        return NotFinite(f"{job.client}: the training loss is no finite number; try a smaller form.fit.rate")
    return fitted(adapter, count_of(job.prepared), job.fit, losses, len(losses))


def fitted(adapter: Adapter, examples: int, fit: Fit, losses: Sequence[float], steps: int) -> Fitted:
    """What training gave, after so many steps; a side of a split model may take more of them than it hears losses."""
    ends = {"loss/first": losses[0], "loss/last": losses[-1], "loss/mean": sum(losses) / len(losses)} if losses else {}
    return Fitted(adapter, examples, ends, sum(rate_at(fit, step) for step in range(steps)))


def is_finite(value: float) -> bool:
    return value - value == 0.0
