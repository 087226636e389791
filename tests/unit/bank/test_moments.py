"""Moments in eight bits: a client's are its own, whoever stands beside it, and training comes to nearly the same."""

import pytest
import torch
from torch import nn

from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, fit
from coterie.bank.optimiser import MOMENTS, optimiser_for
from coterie.core.work import Fit


def jobs_of(model, layout, examples, rates, steps=6):
    return [
        FitJob(f"c{i}", layout.start(i), Fit(steps=steps, batch=2, rate=rate), examples(model, 3, i), 7 + i)
        for i, rate in enumerate(rates)
    ]


def rows(model, layout, jobs, width, moments="8bit"):
    bank = Bank(model, layout, width, moments)
    try:
        return [result.adapter.row for result in fit(bank, jobs)]
    finally:
        bank.close()


def test_blocks_begin_anew_with_every_client(backbone, examples):
    """Rows of a length that is no whole number of blocks, and neighbours whose gradients are of another size."""
    model = backbone()
    layout = model.layout(3, 3.0, "attention")
    assert layout.size % 256
    calm, wild = (jobs_of(model, layout, examples, [1e-3, rate, rate, rate]) for rate in (1e-3, 0.5))
    first = rows(model, layout, calm, 4)[0]
    assert torch.equal(first, rows(model, layout, wild, 4)[0])
    assert torch.equal(first, rows(model, layout, calm[:1], 4)[0])
    assert torch.equal(first, rows(model, layout, [*wild[1:], calm[0]], 4)[3])


def test_the_first_step_is_the_same_and_later_ones_go_the_same_way(backbone, examples):
    """What is rounded is what a step leaves to the next."""
    model = backbone()
    layout = model.layout(3, 3.0, "attention")
    for steps, alike in ((1, 1 - 1e-6), (6, 0.8)):
        jobs = jobs_of(model, layout, examples, [1e-3] * 2, steps)
        full, eighth = (rows(model, layout, jobs, 2, moments) for moments in ("fp32", "8bit"))
        for job, one, other in zip(jobs, full, eighth, strict=True):
            moved, ours = one - job.start.row, other - job.start.row
            assert torch.cosine_similarity(moved, ours, dim=0) > alike
            assert 0.8 < ours.norm() / moved.norm() < 1.25
            assert (steps > 1) == bool((one - other).abs().max() > 1e-6)


@pytest.mark.parametrize("moments", MOMENTS)
def test_the_optimiser_holds_the_bytes_that_are_predicted(moments):
    row = nn.Parameter(torch.ones(256 * 40))
    row.grad = torch.ones_like(row)
    optimiser = optimiser_for([row], [0.0], moments)
    optimiser.step()
    (state,) = optimiser.state.values()
    held = [t for name, t in state.items() if isinstance(t, torch.Tensor) and name != "step" and "qmap" not in name]
    assert sum(t.numel() * t.element_size() for t in held) == 2 * MOMENTS[moments] * len(row)
