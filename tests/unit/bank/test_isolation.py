"""One person's trouble is nobody else's: broken adapters, refused layers, interrupted passes, awkward sizes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.bank.fit import FitJob, fit
from coterie.bank.shape import BLOCK, Sizes, sizes_of, slots_for
from coterie.core.adapter import Adapter, Layout, LowRank
from coterie.core.errors import UserError
from coterie.core.work import Fit
from coterie.models.backbones.doodle import Doodle
from coterie.models.unet import build_unet


class Interruption(Exception):
    pass


@pytest.fixture(scope="module")
def awkward():
    """A network whose activations are no whole number of vector registers."""
    config = {
        "sample_size": 12, "in_channels": 3, "out_channels": 3, "block_out_channels": (12, 20),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "layers_per_block": 1, "cross_attention_dim": 384,
        "attention_head_dim": 4, "norm_num_groups": 4,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = build_unet(config)
        nn.init.normal_(network.conv_out.weight, std=0.05)
    return Doodle(torch.float32, 7, network)


def noisy(layout, seed):
    return Adapter(layout, 0.1 * torch.randn(layout.size, generator=torch.Generator().manual_seed(seed)))


def broken(layout):
    return Adapter(layout, torch.full((layout.size,), float("nan")))


@pytest.mark.parametrize("first", [True, False])
def test_a_broken_adapter_spoils_no_picture_but_its_own(backbone, first):
    """Wherever it stands: short mixes and bare rows must not be filled up with its factors at weight zero."""
    model = backbone()
    layout = model.layout(4, 4, "all")
    one, other = noisy(layout, 1), noisy(layout, 2)
    good = [
        Request("thing", (), 1, 2),
        Request("thing", ((one, 1.0),), 1, 2),
        Request("thing", ((one, 0.5), (other, 0.5)), 1, 2),
    ]
    bad = [
        Request("thing", ((broken(layout), 1.0),), 1, 2),
        Request("thing", ((broken(layout), 0.0), (one, 1.0)), 1, 2),
    ]
    bank = Bank(model, layout, 1)
    clean = [sample(bank, [request])[0] for request in good]
    with np.errstate(invalid="ignore"):
        pictures = sample(bank, bad + good if first else good + bad)
    for wanted, got in zip(clean, pictures[2:] if first else pictures[:3], strict=True):
        assert np.array_equal(wanted, got)
    bank.close()


@pytest.mark.parametrize("first", [True, False])
def test_a_broken_adapter_spoils_no_score_but_its_own(backbone, examples, first):
    model = backbone()
    layout = model.layout(4, 4, "all")
    rows = model.fixed(examples(model, 2), 2, 0)
    good, bad = (
        [EvalJob("bare", None, rows), EvalJob("one", noisy(layout, 1), rows)],
        [EvalJob("x", broken(layout), rows)],
    )
    bank = Bank(model, layout, 1)
    clean = [evaluate(bank, [job])[0] for job in good]
    scores = evaluate(bank, bad + good if first else good + bad)
    for wanted, got in zip(clean, scores[1:] if first else scores[:2], strict=True):
        assert torch.equal(wanted, got)
    assert torch.isnan(scores[0 if first else 2]).all()
    bank.close()


@pytest.mark.parametrize("work", ["fit", "evaluate", "sample"])
def test_an_interrupted_pass_leaves_the_backbone_bare(backbone, examples, monkeypatch, work):
    model = backbone()
    layout = model.layout(4, 4, "all")
    prepared = examples(model, 2)
    rows = model.fixed(prepared, 2, 0)
    bare, adapter = model.losses(rows), noisy(layout, 1)
    bank = Bank(model, layout, 2)

    def interrupted(*_):
        raise Interruption

    calls = {
        "fit": lambda: fit(bank, [FitJob("a", adapter, Fit(steps=2, batch=2), prepared, 0)], interrupted),
        "evaluate": lambda: evaluate(bank, [EvalJob("a", adapter, rows)]),
        "sample": lambda: sample(bank, [Request("thing", ((adapter, 1.0),), 1, 2)], progress=interrupted),
    }
    with monkeypatch.context() as patch:
        if work == "evaluate":
            patch.setattr(model, "losses", interrupted)
        with pytest.raises(Interruption):
            calls[work]()
    assert torch.equal(model.losses(rows), bare)
    bank.close()


def test_the_same_adapter_on_the_same_rows_is_scored_once(backbone, examples):
    model = backbone()
    layout = model.layout(4, 4, "all")
    rows, other = model.fixed(examples(model, 2), 4, 0), model.fixed(examples(model, 2), 4, 1)
    one, another = noisy(layout, 1), noisy(layout, 2)
    again = Adapter(layout, one.row.clone())
    jobs = [EvalJob(*job) for job in (("a", one, rows), ("b", again, rows), ("c", one, other), ("d", another, rows))]
    bank, told = Bank(model, layout, 2), []
    got = evaluate(bank, jobs, lambda done, total: told.append((done, total)))
    alone = [evaluate(bank, [job])[0] for job in jobs]
    bank.close()
    assert told == [(3, 3)]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(got, alone, strict=True))
    assert torch.equal(got[0], got[1])
    assert not torch.equal(got[0], got[2])
    assert not torch.equal(got[0], got[3])


def test_a_refused_layout_leaves_the_backbone_as_it_was(backbone):
    model = backbone()
    before = dict(model.network.named_modules())
    parts = (*model.layout(2, 2, "all").parts[:3], LowRank("conv_norm_out", 8, 8, 2))
    with pytest.raises(UserError, match="conv_norm_out"):
        Bank(model, Layout(model.digest, parts), 1)
    assert dict(model.network.named_modules()) == before


@pytest.mark.parametrize(
    "part",
    [
        LowRank("conv_in", 9, 27, 2, 1.0, (3, 3)),
        LowRank("conv_in", 8, 28, 2, 1.0, (3, 3)),
        LowRank("conv_in", 8, 27, 2, 1.0, (1, 27)),
        LowRank("conv_in", 8, 27, 2),
        LowRank("time_embedding.linear_1", 5, 8, 2),
    ],
    ids=str,
)
def test_a_layout_of_other_sizes_is_refused(backbone, part):
    model = backbone()
    with pytest.raises(UserError, match=rf"^{part.name}: the layout says .* the layer has"):
        Bank(model, Layout(model.digest, (part,)), 1)


@pytest.mark.parametrize(
    "layer",
    [
        nn.modules.linear.NonDynamicallyQuantizableLinear(3, 8),  # attention reads its weight past its forward
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv2d(3, 8, 3, padding="same"),
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"),
        nn.ConvTranspose2d(3, 8, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_only_look_alike_are_refused(backbone, layer):
    model = copy.copy(backbone())
    model.network = nn.Module()
    model.network.odd = layer.requires_grad_(False)
    with pytest.raises(UserError, match="odd: the bank adapts Linear and plain Conv2d"):
        Bank(model, Layout(model.digest, (LowRank("odd", 8, 3, 2),)), 1)
    assert model.network.odd is layer


def test_closing_twice_does_nothing(backbone):
    model = backbone()
    before = dict(model.network.named_modules())
    bank = Bank(model, model.layout(2, 2, "all"), 1)
    bank.close()
    bank.close()
    assert dict(model.network.named_modules()) == before


def test_wrapped_layers_still_say_what_they_are(backbone):
    model = backbone()
    names = [part.name for part in model.layout(2, 2, "all").parts]
    bare = {name: model.network.get_submodule(name) for name in names}
    bank = Bank(model, model.layout(2, 2, "all"), 1)
    for name, layer in bare.items():
        wrapped = model.network.get_submodule(name)
        assert wrapped.weight is layer.weight
        assert wrapped.bias is layer.bias
        for attribute in ("in_features", "out_features", "kernel_size", "stride", "in_channels"):
            assert getattr(wrapped, attribute, None) == getattr(layer, attribute, None)
        with pytest.raises(AttributeError):
            _ = wrapped.no_such_thing
    bank.close()


@pytest.mark.parametrize(("width", "batch"), [(3, 1), (3, 3), (3, 5), (2, 1)])
def test_no_place_in_a_pass_is_special_where_sizes_are_awkward(awkward, width, batch):
    """The last numbers of a ragged tensor go through a scalar ``exp``; no client's may be among them."""
    layout = awkward.layout(3, 3, "all")
    bank = Bank(awkward, layout, width)

    def job(name, k):
        draw = torch.Generator().manual_seed(k)
        prepared = {
            "x0": torch.randn(4, 3, 12, 12, generator=draw),
            "states": torch.randn(4, 7, 384, generator=draw),
            "mask": torch.ones(4, 7),
        }
        return FitJob(name, layout.start(5), Fit(steps=1, batch=batch, rate=1e-2, drop=0.0), prepared, k)

    found = []
    for slot in range(width):  # names decide the slot
        jobs = [job(f"c{place}", 0 if place == slot else 10 + place) for place in range(width)]
        found.append(fit(bank, jobs)[slot].adapter.row)
    for row in found[1:]:
        assert torch.equal(row, found[0])
    bank.close()


def test_spare_slots_come_only_where_sizes_need_them(awkward, backbone):
    model = backbone()
    draw = {"x0": torch.zeros(1, 3, 12, 12), "states": torch.zeros(1, 7, 384), "mask": torch.ones(1, 7)}
    sizes = sizes_of(awkward, draw)
    assert sizes == Sizes(4, 12)
    assert slots_for(3, 1, sizes) == 9
    assert slots_for(8, 8, sizes) == 8
    assert slots_for(1, 1, sizes) == 1
    assert slots_for(3, 1, None) == 3
    wide = Sizes(BLOCK, 128)
    assert all(slots_for(width, 1, wide) == width for width in range(1, 17))
    assert slots_for(3, 8, sizes_of(model, model.prepare(np.zeros((1, 16, 16, 3), np.uint8), [""]))) == 3


@pytest.mark.parametrize("mates", [2, 3, 5])
def test_the_length_of_a_mates_mix_does_not_round_mine(awkward, monkeypatch, mates):
    """In float32 and before pixels: a longer mix beside mine would make my products' inner size longer too."""
    layout = awkward.layout(3, 3, "all")
    drawn = []
    finish = awkward.finish
    monkeypatch.setattr(awkward, "finish", lambda x: (drawn.append(x.clone()), finish(x))[1])
    mine = Request("", ((noisy(layout, 1), 0.7),), 1, 2)
    long = Request("", tuple((noisy(layout, 2 + i), 0.3) for i in range(mates)), 2, 2)
    bank = Bank(awkward, layout, 1)
    sample(bank, [mine], width=4)
    sample(bank, [long, mine, long, Request("", (), 3, 2)], width=4)
    alone, *calls = drawn
    assert any(torch.equal(row, alone[0]) for call in calls for row in call)
    bank.close()


def test_in_float64_mixes_equal_merged_weights_to_the_last_digits(backbone, examples):
    """The network's own output, because losses are float32."""
    model = backbone(torch.float64)
    layout = model.layout(4, 4, "all")
    one, other = noisy(layout, 1), noisy(layout, 2)
    mixes = [((one, 1.0),), ((one, 0.3), (other, 0.7)), (), ((other, -0.5),)]
    rows, seen = model.fixed(examples(model, 2), 1, 0), []

    def note(module, inputs, out):
        seen.append(out.detach())

    bank = Bank(model, layout, 1)
    hook = model.network.conv_out.register_forward_hook(note)
    bank.bind_groups(mixes)
    with torch.no_grad():
        model.losses({key: torch.cat([value] * len(mixes)) for key, value in rows.items()})
    hook.remove()
    bank.close()
    together = seen.pop().chunk(len(mixes))
    for mix, got in zip(mixes, together, strict=True):
        merged = copy.deepcopy(model.network)
        for adapter, share in mix:
            for index, part in enumerate(layout.parts):
                b, a = (factor.double() for factor in adapter.factors(index))
                weight = merged.get_submodule(part.name).weight
                weight.data += (share * part.scale * b @ a).view(weight.shape)
        alone = copy.copy(model)
        alone.network = merged
        merged.conv_out.register_forward_hook(note)
        with torch.no_grad():
            alone.losses(rows)
        wanted = seen.pop()
        assert float((got - wanted).norm() / wanted.norm()) < 1e-12
