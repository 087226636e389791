"""Every setting of a client's training does what its name says, against steps written out by hand in float64."""

import warnings
from dataclasses import replace

import pytest
import torch

from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, fit
from coterie.core.adapter import Adapter
from coterie.core.work import Fit

BASE = Fit(steps=4, batch=4, rate=1e-2, warmup=0, clip=0.0, drop=0.0)

DRIFT = "filled in below"  # once there is a layout
# Adam forgets the size of a gradient, so clipping shows only where it comes near Adam's epsilon.
SETTINGS = {
    "plain": BASE,
    "warm-up": replace(BASE, warmup=3),
    "weight decay": replace(BASE, weight_decay=0.5),
    "clipping": replace(BASE, clip=1e-6),
    "pull": replace(BASE, mu=0.3),
    "pull, then clipping": replace(BASE, mu=0.3, clip=1e-6),
    "plain steps": replace(BASE, optimiser="sgd", rate=3.0, weight_decay=0.1),
    "plain steps, warm-up, clipping, drift": replace(BASE, optimiser="sgd", rate=9.0, warmup=3, clip=1e-2, drift=DRIFT),
    "drift": replace(BASE, drift=DRIFT),
}


def gradient(bank, job, row, generator):
    """Of the mean loss of one batch at a row; equal to PEFT's by test_equality."""
    bank.load(0, Adapter(job.start.layout, row.float()))
    bank.bind_training()
    rows = bank.backbone.draw(job.prepared, job.fit.batch, job.fit.drop, generator)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="grad and param do not obey")
        bank.backbone.losses(rows).mean().backward()
    return bank.grad[0].double().clone()


def by_hand(bank, job):
    settings, row = job.fit, job.start.row.double()
    first, second = torch.zeros_like(row), torch.zeros_like(row)
    generator = torch.Generator().manual_seed(job.seed)
    for step in range(1, settings.steps + 1):
        g = gradient(bank, job, row, generator)
        if settings.anchor is not None:
            g = g + settings.mu * (row - settings.anchor.row.double())
        if settings.clip and g.norm() > settings.clip:
            g = g * settings.clip / (g.norm() + 1e-6)
        g = g if settings.drift is None else g + settings.drift.row.double()
        rate = settings.rate * (min(1.0, step / settings.warmup) if settings.warmup else 1.0)
        row = row * (1 - rate * settings.weight_decay)
        if settings.optimiser == "sgd":
            row = row - rate * g
            continue
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        row = row - rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    bank.release()
    return row


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_means_what_its_formula_says(backbone, examples, name):
    model = backbone()
    layout = model.layout(4, 4, "attention")
    row = 0.1 * torch.randn(layout.size, generator=torch.Generator().manual_seed(1))
    settings = SETTINGS[name]
    if settings.mu:
        settings = settings.toward(Adapter(layout, row.flip(0).clone()), settings.mu)
    if settings.drift is not None:
        settings = replace(settings, drift=Adapter(layout, 1e-3 * row.flip(0)))
    job = FitJob("a", Adapter(layout, row), settings, examples(model, 3), 7)
    bank = Bank(model, layout, 1)
    wanted = by_hand(bank, job)
    (got,) = fit(bank, [job])
    rates = [settings.rate * min(1.0, k / settings.warmup) if settings.warmup else settings.rate for k in (1, 2, 3, 4)]
    assert got.travel == pytest.approx(sum(rates))
    bank.close()
    moved, meant = got.adapter.row.double() - row.double(), wanted - row.double()
    assert float((moved - meant).norm() / meant.norm()) < 1e-3


def test_settings_are_each_clients_own(backbone, examples):
    """All of them in one pass, each as if alone."""
    model = backbone()
    layout = model.layout(4, 4, "attention")
    anchor = layout.start(9)
    drift = Adapter(layout, 1e-3 * anchor.row)
    jobs = [
        FitJob(f"c{k}", layout.start(5), s.toward(anchor, s.mu) if s.mu else s, examples(model, 3, k), k)
        for k, s in enumerate(SETTINGS.values())
    ]
    jobs = [job if job.fit.drift is None else replace(job, fit=replace(job.fit, drift=drift)) for job in jobs]
    bank = Bank(model, layout, len(jobs))
    together = fit(bank, jobs)
    for job, got in zip(jobs, together, strict=True):
        assert torch.equal(fit(bank, [job])[0].adapter.row, got.adapter.row)
    bank.close()


def test_numbers_tell_the_losses(backbone, examples):
    model = backbone()
    layout = model.layout(4, 4, "attention")
    job = FitJob("a", layout.start(5), replace(BASE, steps=1), examples(model, 3), 7)
    bank = Bank(model, layout, 2)
    rows = model.draw(job.prepared, 4, 0.0, torch.Generator().manual_seed(7))
    with torch.no_grad():
        wanted = float(model.losses(rows).mean())  # b starts at zero, so the adapter does nothing yet
    (got,) = fit(bank, [job])
    bank.close()
    assert got.num_examples == 3
    assert got.numbers == {key: pytest.approx(wanted, rel=1e-5) for key in ("loss/first", "loss/last", "loss/mean")}
