"""Training of one factor: the other stays to the bit, and what moves is what its gradient alone would do."""

from dataclasses import replace

import pytest
import torch

from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, fit
from coterie.core.adapter import Adapter, build
from coterie.core.factors import only
from coterie.core.work import Fit
from coterie.models.methods.lora import Lora

SETTINGS = {"steps": 3, "batch": 4, "drop": 0.0, "warmup": 0, "rate": 1e-2}


@pytest.fixture
def bank(backbone):
    model = backbone()
    made = Bank(model, Lora(rank=3, targets="all").layout(model), 3)
    yield made
    made.close()


def begin(bank):
    rng = torch.Generator().manual_seed(1)
    return Adapter(bank.template, 0.1 * torch.randn(bank.template.size, generator=rng))


@pytest.mark.parametrize("factor", ["a", "b"])
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.1}, {"mu": 0.5}], ids=str)
def test_the_other_factor_stays_to_the_bit(bank, examples, factor, more):
    start = begin(bank)
    settings = Fit(**SETTINGS, **more, train=factor)
    settings = settings.toward(bank.template.start(3), more.get("mu", 0.0))
    got = fit(bank, [FitJob("c", start, settings, examples(bank.backbone, 4), 7)])[0].adapter
    still = "ab".replace(factor, "")
    assert torch.equal(only(got, still).row, only(start, still).row)
    assert (only(got, factor).row != only(start, factor).row).float().mean() > 0.99


@pytest.mark.parametrize("factor", ["a", "b"])
def test_the_first_step_moves_it_as_whole_training_does(bank, examples, factor):
    """AdamW's first step is the sign of the gradient, number by number: clipping and the other factor do not matter."""
    start = begin(bank)
    job = FitJob("c", start, Fit(**{**SETTINGS, "steps": 1}), examples(bank.backbone, 4), 7)
    whole, one = fit(bank, [job, replace(job, fit=replace(job.fit, train=factor))])
    moved = only(one.adapter, factor).row - only(start, factor).row
    wanted = only(whole.adapter, factor).row - only(start, factor).row
    assert torch.allclose(moved, wanted, atol=2e-4)
    assert one.numbers == whole.numbers


def test_company_changes_no_bit(bank, examples):
    start, data = begin(bank), examples(bank.backbone, 4)
    jobs = [
        FitJob(c, start, Fit(**SETTINGS, train=train), data, 7)
        for c, train in zip("xyz", ("a", None, "b"), strict=True)
    ]
    together = fit(bank, jobs)
    for job, got in zip(jobs, together, strict=True):
        assert torch.equal(fit(bank, [job])[0].adapter.row, got.adapter.row)


def test_between_two_factors_only_what_stands_there_moves(bank, examples):
    """Fed-SB: ``b = B R``; after a step of AdamW ``R`` has moved by the rate, and ``b`` never leaves the span."""
    start, pieces = begin(bank), []
    for index in range(len(bank.template.parts)):
        b, a = start.factors(index)
        pieces.append((torch.linalg.qr(b)[0], a))
    basis = build(bank.template, pieces)
    fit_within = Fit(**{**SETTINGS, "steps": 1}, train="b", within=only(basis, "b"))
    got = fit(bank, [FitJob("c", basis, fit_within, examples(bank.backbone, 4), 7)])[0].adapter
    assert torch.equal(only(got, "a").row, only(start, "a").row)
    for index in range(len(bank.template.parts)):
        base, b = basis.factors(index)[0], got.factors(index)[0]
        r = base.T @ b
        assert torch.allclose(base @ r, b, atol=1e-6)
        moved = (r - torch.eye(len(r))).abs()
        assert torch.allclose(moved, torch.full_like(moved, SETTINGS["rate"]), rtol=0.05)
