"""Language models in less memory: layers in 8 or 4 bits, blocks computed twice."""

import json

import numpy as np
import pytest
import torch
from tests.packing import unpack
from torch import nn

from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, fit
from coterie.bank.memory import Way, plan_for, ways
from coterie.bank.write import Asked, Writing, write
from coterie.core.errors import UserError
from coterie.core.work import Fit
from coterie.models import packed
from coterie.models.backbones.transformers_lm import TransformersLm
from coterie.models.packed import KINDS, PackedLinear, weight_bytes
from coterie.models.parts import instead
from coterie.runs.reading import read_recipe
from coterie.runs.run import start
from coterie.runs.verify import verify

BLANK = np.zeros((0, 0, 0, 3), np.uint8)


def opened(models, kind, dtype=torch.float32, **how):
    return TransformersLm(str(models[kind]), context=16, **{"checkpointing": "off", "quantise": "none", **how}).load(
        dtype, 0
    )


def trained(model, sentences, clients=2, width=2):
    layout = model.layout(2, 2.0, "transformer")
    how = Fit(steps=3, batch=2, rate=0.01)
    jobs = [FitJob(f"c{k}", layout.start(0), how, model.prepare(BLANK, sentences(k, 4)), 7 + k) for k in range(clients)]
    bank = Bank(model, layout, width)
    try:
        rows = [got.adapter.row for got in fit(bank, jobs)]
    finally:
        bank.close()
    assert all(row.ne(layout.start(0).row).any() for row in rows)
    return rows


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_training_is_that_of_the_weights_that_the_packed_ones_stand_for(models, sentences, kind, how):
    model, whole = opened(models, kind, quantise=how), opened(models, kind)
    blocks = [module for module in model.network.modules() if isinstance(module, PackedLinear)]
    assert len(blocks) == {"gpt2": 8, "llama": 14}[kind]  # all of both blocks
    assert type(model.network.get_output_embeddings()) is nn.Linear
    assert (model.digest, model.num_parameters) == (whole.digest, whole.num_parameters)
    assert model.layout(2, 2.0, "transformer") == whole.layout(2, 2.0, "transformer")
    ours = trained(model, sentences)
    unpack(model.network)
    for row, same, other in zip(ours, trained(model, sentences), trained(whole, sentences), strict=True):
        assert torch.equal(row, same)
        assert not torch.equal(row, other)


@pytest.mark.parametrize("how", ["none", *KINDS])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_sketch_holds_the_bytes_of_the_network(models, kind, how):
    model = opened(models, kind, torch.bfloat16, quantise=how)
    assert weight_bytes(model.sketch(False, how).network) == weight_bytes(model.network)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_blocks_computed_twice_change_no_gradient_and_need_less(models, sentences, kind):
    once, twice = opened(models, kind), opened(models, kind, checkpointing="on")
    for row, other in zip(trained(once, sentences), trained(twice, sentences), strict=True):
        assert torch.allclose(row, other, atol=1e-6)
    layout = once.layout(2, 2.0, "transformer")
    needs = {
        way: plan_for(10**12, once, layout, 8, 1, [way]).phases["training"]
        for way in ways(("none", "nf4"), ("fp32",), (False, True))
    }
    assert needs[Way(checkpointing=True)] < needs[Way()]
    assert needs[Way("nf4", checkpointing=True)] < needs[Way("nf4")] < needs[Way()]


def test_it_writes_the_same_with_blocks_computed_twice(models):
    texts = []
    for checkpointing in ("off", "on"):
        model = opened(models, "llama", checkpointing=checkpointing)
        bank = Bank(model, model.layout(2, 2.0, "attention"), 1)
        texts.append(write(bank, [Asked("the old man", (), 3)], Writing(tokens=12)))
        bank.close()
    assert texts[0] == texts[1]


def test_a_block_that_stood_aside_is_computed_twice_again(models):
    model = opened(models, "llama", checkpointing="on")
    block = model.network.base_model.layers[0]
    before = block.forward
    with instead({block: lambda *args, **kwargs: None}):
        assert block.forward is not before
    assert block.forward is before


def test_memory_decides_what_a_recipe_leaves_open_and_the_run_says_it(models, sentences, tmp_path):
    for name in ("ada", "bo"):
        (tmp_path / "docs" / name).mkdir(parents=True)
        for i, text in enumerate(sentences(len(name), 4)):
            (tmp_path / "docs" / name / f"{i}.txt").write_text(text)
    settings = [
        "control={}", "backbone.name=transformers_lm", f"backbone.path={models['gpt2']}", "backbone.context=16",
        "data.source.name=text_folder", f"data.source.path={tmp_path / 'docs'}", "data.column=client", "rounds=1",
        "form.name=local", "form.fit.steps=1", "form.fit.batch=2", "engine.workers=0", "engine.dtype=fp32",
        "texts.tokens=4", 'pictures.prompts=["the"]', "evaluation.copies=0", "method.rank=2",
    ]  # fmt: skip
    plenty = start(read_recipe(None, settings), tmp_path / "plenty")["recipe"]["backbone"]
    assert (plenty["quantise"], plenty["checkpointing"]) == ("none", "off")
    told = []
    small = read_recipe(None, [*settings, "backbone.quantise=nf4", "backbone.checkpointing=on"])
    results = start(small, tmp_path / "small", lambda event, **fields: told.append((event, fields)))
    (planned,) = [fields for event, fields in told if event == "planned"]
    assert (planned["quantise"], planned["checkpointing"]) == ("nf4", True)
    exported = json.loads((tmp_path / "small/sites/ada/adapters/personal/adapter_config.json").read_text())
    assert exported["fan_in_fan_out"] is True  # as PEFT reads it beside weights that are whole
    effect, checks = verify(tmp_path / "small", next(iter(results["clients"])))
    assert effect > 0
    assert all(check.passed for check in checks)


def test_without_the_extra_one_line_says_how_to_get_it(models, monkeypatch):
    monkeypatch.setattr(packed, "installed", lambda: False)
    with pytest.raises(UserError, match=r'^backbone\.quantise: nf4 needs .*: pip install "coterie\[quantise\]"$'):
        opened(models, "gpt2", quantise="nf4")
