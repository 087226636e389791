"""Language models in the bank: together = each alone = a plain loop with PEFT; nobody's words reach anybody else."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model

from coterie.bank.bank import Bank
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.bank.fit import FitJob, fit
from coterie.bank.write import Asked, Writing, write
from coterie.core.work import Fit
from coterie.models.adapter_files import adaptable, read_file
from coterie.models.peft_files import peft_files, read_peft

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT's

BLANK = np.zeros((0, 0, 0, 3), np.uint8)


def prepared(model, texts):
    return model.prepare(BLANK, texts)


def jobs_for(model, sentences, layout, count=4, steps=6, rate=3e-3):
    settings = Fit(steps=steps, batch=2, rate=rate, warmup=0)
    return [
        FitJob(f"c{k}", layout.start(5), settings, prepared(model, sentences(k, 3 + k)), 100 + k) for k in range(count)
    ]


def trained(model, layout, jobs, width):
    bank = Bank(model, layout, width)
    try:
        return [got.adapter.row for got in fit(bank, jobs)]
    finally:
        bank.close()


def peft_alone(model, job, layout):
    """The same training with PEFT and a plain loop: what a user would write."""
    names = [part.name for part in layout.parts]
    config = LoraConfig(r=4, lora_alpha=8, target_modules=names, fan_in_fan_out=layout.parts[0].transposed)
    network = get_peft_model(model.network, config).eval()
    layers = [network.get_submodule(f"base_model.model.{name}") for name in names]
    parameters = []
    for index, layer in enumerate(layers):
        b, a = job.start.factors(index)
        layer.lora_A["default"].weight.data.copy_(a)
        layer.lora_B["default"].weight.data.copy_(b)
        parameters += [layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    optimiser = torch.optim.AdamW(parameters, lr=job.fit.rate, weight_decay=0.0)
    generator, first = torch.Generator().manual_seed(job.seed), None
    for _ in range(job.fit.steps):
        rows = model.draw(job.prepared, job.fit.batch, 0.0, generator)
        inputs, labels = rows["tokens"][:, :-1], rows["tokens"][:, 1:].clone()
        labels[torch.arange(labels.shape[1]) >= rows["count"][:, None]] = -100
        told = [network(input_ids=one[None]).logits[0] for one in inputs]
        each = [F.cross_entropy(logits, wanted) for logits, wanted in zip(told, labels, strict=True)]
        torch.stack(each).mean().backward()
        first = first or [p.grad.clone() for p in parameters]
        torch.nn.utils.clip_grad_norm_(parameters, job.fit.clip)
        optimiser.step()
        optimiser.zero_grad()
    return in_a_row([p.detach() for p in parameters]), in_a_row(first)


def in_a_row(pairs):
    """Factors as an adapter has them."""
    both = zip(pairs[::2], pairs[1::2], strict=True)
    return torch.cat([x for a, b in both for x in (a.reshape(-1), b.T.reshape(-1))])


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_together_is_each_alone_is_peft(load, sentences, kind):
    model = load(kind)
    layout = model.layout(4, 8.0, "all")
    jobs = jobs_for(model, sentences, layout)
    together = trained(model, layout, jobs, 4)
    for k, job in enumerate(jobs):
        (alone,) = trained(model, layout, [job], 4)
        assert torch.equal(together[k], alone)
        (narrow,) = trained(model, layout, [job], 1)
        start = job.start.row
        assert relative(narrow - start, alone - start) < 1e-3
        theirs, _ = peft_alone(load(kind), job, layout)
        # AdamW's first steps are like signs: a gradient of next to nothing may go the other way
        assert relative(together[k] - start, theirs - start) < 2e-3


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral", "qwen2"])
def test_gradients_are_those_of_peft_in_float64(load, sentences, kind):
    model = load(kind, torch.float64)
    layout = model.layout(4, 8.0, "transformer")
    jobs = jobs_for(model, sentences, layout, count=3, steps=1)
    bank = Bank(model, layout, 3)
    for slot, job in enumerate(jobs):
        bank.load(slot, job.start)
    bank.bind_training()
    drawn = [model.draw(j.prepared, 2, 0.0, torch.Generator().manual_seed(j.seed)) for j in jobs]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="grad and param do not obey")
        rows = {key: torch.cat([d[key] for d in drawn]) for key in drawn[0]}
        model.losses(rows).view(3, 2).mean(1).sum().backward()
    found = bank.grad.clone()
    bank.close()
    for k, job in enumerate(jobs):
        _, wanted = peft_alone(load(kind, torch.float64), job, layout)
        assert relative(found[k].double(), wanted.double()) < 1e-6  # the loss itself is summed in float32


def relative(one, other):
    return float((one - other).norm() / other.norm())


def test_nobodys_words_change_anybodys_numbers(load, sentences):
    """Other mates, and other tokens where a last window is filled up, leave every bit as it was."""
    model = load("gpt2")
    layout = model.layout(4, 8.0, "all")
    jobs = jobs_for(model, sentences, layout, count=3)
    first = trained(model, layout, jobs, 3)[0]
    others = [replace(job, prepared=prepared(model, ["zzz qqq xxx " * 9])) for job in jobs[1:]]
    assert torch.equal(first, trained(model, layout, [jobs[0], *others], 3)[0])
    rows = dict(jobs[0].prepared)
    assert rows["count"][-1] < model.context
    filled = rows["tokens"].clone()
    filled[-1, int(rows["count"][-1]) + 1 :] = 7
    assert torch.equal(first, trained(model, layout, [replace(jobs[0], prepared={**rows, "tokens": filled})], 3)[0])


def test_rows_of_nobody_have_a_finite_loss(load):
    model = load("llama")
    rows = model.fixed(model.examples(2), 1, 0)
    assert torch.equal(model.losses({name: torch.zeros_like(value) for name, value in rows.items()}), torch.zeros(2))


def test_the_mean_of_scored_rows_is_the_mean_over_tokens(load, sentences):
    model = load("gpt2")
    bank = Bank(model, model.layout(2, 2.0, "attention"), 1)
    rows = model.fixed(prepared(model, sentences(1)), 8, 0)
    (losses,) = evaluate(bank, [EvalJob("c", None, rows)])
    bank.close()
    stream = [model.start]
    for text in sentences(1):
        stream += [*model.tokenizer.encode(text), model.end]
    total = 0.0
    for begin in range(0, len(stream) - 1, model.context):
        window = torch.tensor(stream[begin : begin + model.context + 1])
        with torch.no_grad():
            total += float(F.cross_entropy(model.network(window[None, :-1]).logits[0], window[1:], reduction="sum"))
    assert int(rows["count"].sum()) == len(stream) - 1
    assert float(losses.mean()) == pytest.approx(total / (len(stream) - 1), rel=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_peft_opens_what_is_exported(load, models, sentences, kind, tmp_path, recwarn):
    model = load(kind)
    layout = model.layout(4, 8.0, "all")
    bank = Bank(model, layout, 1)
    (got,) = fit(bank, jobs_for(model, sentences, layout, count=1))
    rows = model.fixed(prepared(model, sentences(2)), 1, 0)
    bank.bind_groups([((got.adapter, 1.0),)])
    with torch.no_grad():
        ours = model.losses(rows)
    bank.close()
    for file, data in peft_files(got.adapter).items():
        (tmp_path / file).write_bytes(data)
    assert ('"fan_in_fan_out": true' in (tmp_path / "adapter_config.json").read_text()) == (kind == "gpt2")
    theirs = load(kind)
    theirs.network = PeftModel.from_pretrained(theirs.network, tmp_path).eval()
    assert not [w for w in recwarn if "fan_in_fan_out" in str(w.message)]
    with torch.no_grad():
        opened = theirs.losses(rows)
        bare = model.losses(rows)
        merged = load(kind)
        merged.network = theirs.network.merge_and_unload()
        assert torch.allclose(merged.losses(rows), ours, rtol=1e-5)
    assert torch.allclose(opened, ours, rtol=1e-5)
    assert not torch.allclose(bare, ours, rtol=1e-4)
    again = read_file(tmp_path, adaptable(model.network), model.digest, model.component).adapter
    assert again.layout == layout
    assert torch.equal(again.row, got.adapter.row)
    assert [p.transposed for p in read_peft(tmp_path).layout.parts] == [kind == "gpt2"] * len(layout.parts)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_text_depends_on_its_own_request_alone(load, sentences, kind):
    model = load(kind)
    layout = model.layout(4, 8.0, "all")
    bank = Bank(model, layout, 2)
    one, two = (got.adapter for got in fit(bank, jobs_for(model, sentences, layout, count=2, steps=30, rate=3e-2)))
    asked = [
        Asked("the old", ((one, 1.0),), 3), Asked("the old", ((two, 1.0),), 3), Asked("the old", (), 3),
        Asked("she said that nothing", ((one, 0.5), (two, 0.5)), 4), Asked("the old", ((one, 1.0),), 5),
    ]  # fmt: skip
    heard = dict.fromkeys(range(len(asked)), "")
    writing = Writing(tokens=12, temperature=1.0, top_p=0.9)

    def hear(index, piece):
        heard[index] += piece

    texts = write(bank, asked, writing, hear=hear)
    assert list(heard.values()) == texts
    assert len({texts[0], texts[1], texts[2], texts[4]}) > 2  # bytes that are no text look alike
    for i, text in enumerate(texts):
        assert write(bank, [asked[i]], writing) == [text]
    greedy = [write(bank, [Asked("the old", (), seed)], Writing(8, 0.0)) for seed in (0, 1)]
    assert greedy[0] == greedy[1]
    with torch.no_grad():
        start = torch.tensor([model.begin("the old")])
        wanted = model.network.generate(
            start, attention_mask=torch.ones_like(start), max_new_tokens=8, do_sample=False, pad_token_id=0
        )
    assert greedy[0] == [model.text(wanted[0].tolist())[len("the old") :]]
    bank.close()
