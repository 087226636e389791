"""An adapter that is active and frozen beside the one that is trained, and adapters wider than the bank."""

from dataclasses import replace

import pytest
import torch

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.bank.fit import FitJob, fit
from coterie.core.adapter import Adapter, LowRank, apart, side_by_side
from coterie.core.work import Fit
from coterie.models.methods.lora import Lora
from coterie.models.shelves import BACKBONES

SETTINGS = {"steps": 3, "batch": 4, "drop": 0.0, "warmup": 0}


@pytest.fixture
def model_of():
    return lambda: BACKBONES.build({"name": "untrained", "seed": 3}).load(torch.float32, 8)


@pytest.fixture
def layout(model_of):
    return Lora(rank=4, alpha=6, targets="all").layout(model_of())


@pytest.fixture
def filled(layout):
    """Adapters that do something."""
    return lambda seed: Adapter(layout, 0.2 * torch.randn(layout.size, generator=torch.Generator().manual_seed(seed)))


def merged_into(network, adapter):
    """The frozen weights with an adapter added to them."""
    for index, part in enumerate(adapter.layout.parts):
        assert isinstance(part, LowRank)
        layer, (b, a) = network.get_submodule(part.name), adapter.factors(index)
        layer.weight.data += part.scale * (b @ a).view(layer.weight.shape)


def test_training_on_top_of_a_frozen_adapter_is_training_on_weights_it_is_merged_into(
    model_of, examples, layout, filled
):
    """All convolutions and linear layers: the same losses and the same adapter, to rounding."""
    plain, merged, below = model_of(), model_of(), filled(1)
    job = FitJob("c", layout.start(5), Fit(**SETTINGS), examples(plain, 5, seed=1), 100)
    bank = Bank(plain, layout, 1)
    on_top = fit(bank, [replace(job, fit=job.fit.on_top_of(below))])[0]
    alone = fit(bank, [job])[0]
    bank.close()
    merged_into(merged.network, below)
    bank = Bank(merged, layout, 1)
    expected = fit(bank, [job])[0]
    bank.close()
    assert on_top.numbers["loss/first"] == pytest.approx(expected.numbers["loss/first"], rel=1e-5)
    assert abs(alone.numbers["loss/first"] - expected.numbers["loss/first"]) > 1e-3
    moved = expected.adapter.row - job.start.row
    assert (on_top.adapter.row - expected.adapter.row).norm() < 2e-2 * moved.norm()


def test_what_is_beside_does_not_touch_mates_and_needs_no_slot_of_its_own(model_of, examples, layout, filled):
    model = model_of()
    jobs = [FitJob(f"c{k}", layout.start(5), Fit(**SETTINGS), examples(model, 5, seed=k), k) for k in range(3)]
    mixed = [
        jobs[0],
        replace(jobs[1], fit=jobs[1].fit.on_top_of(filled(2))),
        replace(jobs[2], fit=jobs[2].fit.on_top_of(filled(3))),
    ]
    bank = Bank(model, layout, 3)
    together = fit(bank, mixed)
    each = [fit(bank, [job])[0] for job in mixed]
    bank.close()
    for one, other in zip(together, each, strict=True):
        assert torch.equal(one.adapter.row, other.adapter.row)


def test_two_side_by_side_are_scored_and_drawn_like_their_sum(model_of, examples, layout, filled):
    model, one, other = model_of(), filled(1), filled(2)
    whole = side_by_side(one, other)
    first, second = apart(whole, layout)
    assert torch.equal(first.row, one.row)
    assert torch.equal(second.row, other.row)
    rows = model.fixed(examples(model, 3, seed=0), 4, 7)
    bank = Bank(model, layout, 2)
    wide, mates = evaluate(bank, [EvalJob("c", whole, rows), EvalJob("d", one, rows)])
    pictures = sample(bank, [Request("cat", ((whole, 1.0),), 3, 2), Request("cat", ((one, 1.0), (other, 1.0)), 3, 2)])
    alone = evaluate(bank, [EvalJob("d", one, rows)])[0]
    bank.close()
    assert torch.equal(mates, alone)  # a wide neighbour changes nothing
    merged = model_of()
    merged_into(merged.network, one)
    merged_into(merged.network, other)
    expected = merged.losses(rows)
    assert wide == pytest.approx(expected.detach(), rel=1e-4)
    assert abs(pictures[0].astype(int) - pictures[1].astype(int)).max() <= 1
