"""Whole weights in the bank: trained as anybody would train them, and put back as they were."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from coterie.bank.denoise import Request, sample
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.bank.fit import FitJob, fit
from coterie.bank.operations import operations_of
from coterie.bank.whole import WholeBank, bank_for, is_whole
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.work import Fit
from coterie.models.digest import digest_of
from coterie.models.methods.full import Full
from coterie.models.methods.lora import Lora
from coterie.models.peft_files import peft_files, read_peft
from coterie.runs.reading import make_recipe

SETTINGS = Fit(steps=5, batch=4, rate=1e-3, warmup=0, clip=1.0, drop=0.0)


def by_hand(model, job):
    """Plain AdamW on a copy of the network."""
    twin = copy.copy(model)
    twin.network = copy.deepcopy(model.network).requires_grad_(True)
    weights = list(twin.network.parameters())
    optimiser = torch.optim.AdamW(weights, lr=job.fit.rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(job.seed)
    for _ in range(job.fit.steps):
        optimiser.zero_grad()
        twin.losses(twin.draw(job.prepared, job.fit.batch, job.fit.drop, generator)).mean().backward()
        torch.nn.utils.clip_grad_norm_(weights, job.fit.clip)
        optimiser.step()
    return torch.cat([(w - v).flatten() for w, v in zip(weights, model.network.parameters(), strict=True)]).detach()


def test_what_whole_weights_cost_is_counted_and_is_more_than_an_adapter_costs(backbone):
    model = backbone()
    before = digest_of(model.network)
    whole, adapter = operations_of(model, Full().layout(model)), operations_of(model, Lora(rank=2).layout(model))
    assert digest_of(model.network) == before
    assert whole.forward == adapter.forward < adapter.training < whole.training <= 3 * whole.forward


def changes(layout, seed, size=1e-2):
    return Adapter(layout, size * torch.randn(layout.size, generator=torch.Generator().manual_seed(seed)))


def test_it_trains_all_weights_as_plain_training_does(backbone, examples):
    model = backbone()
    layout, before = Full().layout(model), digest_of(model.network)
    assert is_whole(layout)
    assert layout.size == model.num_parameters
    jobs = [FitJob(c, layout.start(0), SETTINGS, examples(model, 3, k), k) for k, c in enumerate("ab")]
    bank = bank_for(model, layout, 4)
    assert isinstance(bank, WholeBank)
    got = fit(bank, jobs)
    assert digest_of(model.network) == before  # put back to the bit
    assert not any(p.requires_grad for p in model.network.parameters())
    for job, found in zip(jobs, got, strict=True):
        wanted = by_hand(model, job)
        assert float((found.adapter.row - wanted).norm() / wanted.norm()) < 1e-3
        assert torch.equal(fit(bank, [job])[0].adapter.row, found.adapter.row)  # its mates change nothing


def test_a_frozen_change_below_counts_and_stays(backbone, examples):
    """What is trained on top of D is what is trained of a network to which D was added."""
    model = backbone()
    layout = Full().layout(model)
    below = changes(layout, 3)
    job = FitJob("a", layout.start(0), replace(SETTINGS, clip=0.0).on_top_of(below), examples(model, 3), 7)
    from_there = replace(job, start=below, fit=replace(SETTINGS, clip=0.0))
    bank = bank_for(model, layout, 1)
    on_top, moved = fit(bank, [job])[0].adapter.row, fit(bank, [from_there])[0].adapter.row - below.row
    assert float((on_top - moved).norm() / moved.norm()) < 1e-3


def test_scores_and_pictures_are_those_of_the_changed_network(backbone, examples):
    model = backbone()
    layout = Full().layout(model)
    one, other = changes(layout, 1), changes(layout, 2)
    rows = model.fixed(examples(model, 3), 4, 0)
    bank = bank_for(model, layout, 4)
    bare, first, second = evaluate(bank, [EvalJob("a", a, rows) for a in (None, one, other)])
    mixed = sample(bank, [Request("a cat", ((one, 0.5), (other, 0.5)), 1, 2), Request("a cat", (), 1, 2)])
    for adapter, found in ((None, bare), (one, first), (other, second)):
        twin = changed(model, adapter, layout)
        with torch.no_grad():
            assert torch.allclose(twin.losses(rows), found, rtol=1e-4)
    twin = changed(model, Adapter(layout, (one.row + other.row) / 2), layout)
    alone = sample(bank_for(twin, Full().layout(twin), 1), [Request("a cat", (), 1, 2)])
    assert abs(alone[0].astype(int) - mixed[0]).max() <= 1
    assert not np.array_equal(mixed[0], mixed[1])
    with pytest.raises(UserError, match="whole weights draw and score one after another"):
        sample(bank, [Request("a cat", ((one, 0.5), (other, 0.5)), 1, 2, way="composite")])


def changed(model, adapter, layout):
    twin = copy.copy(model)
    twin.network = copy.deepcopy(model.network)
    if adapter is not None:
        for weight, part, offset in zip(twin.network.parameters(), layout.parts, layout.offsets, strict=True):
            weight.data += adapter.row[offset : offset + part.size].view(weight.shape)
    return twin


def test_a_pattern_trains_some_of_the_weights(backbone):
    model = backbone()
    some = Full(r"attentions.*\.bias$").layout(model)
    assert 0 < some.size < model.num_parameters
    with pytest.raises(UserError, match=r"method.targets: 'nowhere' is in no weight's name; weights are: "):
        Full("nowhere").layout(model)
    with pytest.raises(UserError, match=r"method.targets: '\(' is no regular expression"):
        Full("(").layout(model)


def test_it_comes_back_from_its_files(backbone, tmp_path):
    model = backbone()
    layout = Full("attentions").layout(model)
    adapter = changes(layout, 4)
    for name, data in peft_files(adapter).items():
        (tmp_path / name).write_bytes(data)
    again = read_peft(tmp_path, model.digest)
    assert again.digest == adapter.digest
    assert again.layout == layout


def test_what_needs_factors_is_refused():
    full = {"method": {"name": "full"}}
    for keeping in ("stacked", "split"):
        with pytest.raises(UserError, match=f"toy: form.keeping {keeping} takes factors apart, and method full"):
            make_recipe({**full, "form": {"name": "fedavg", "keeping": keeping}}, "toy")
    with pytest.raises(UserError, match="toy: the form rooted puts factors side by side, and method full has none"):
        make_recipe({**full, "form": {"name": "rooted", "keeping": "none"}}, "toy")
