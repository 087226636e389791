"""Every row its own adapters: equal to one at a time, to merged weights, and undone without a trace."""

import copy

import numpy as np
import pytest
import torch

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.bank.layers import grouped_conv
from coterie.bank.memory import client_bytes, predicted_bytes, width_for
from coterie.core.adapter import Adapter, Dense, Layout, LowRank
from coterie.core.errors import UserError
from coterie.models.digest import digest_of


def adapters(layout, count):
    rng = torch.Generator().manual_seed(1)
    return [Adapter(layout, 0.2 * torch.randn(layout.size, generator=rng)) for _ in range(count)]


def merged(model, mix):
    """A copy of the network with dense updates added to its weights."""
    network = copy.deepcopy(model.network)
    for adapter, share in mix:
        for index, part in enumerate(adapter.layout.parts):
            b, a = (factor.double() for factor in adapter.factors(index))
            weight = network.get_submodule(part.name).weight
            weight.data += (share * part.scale * b @ a).view(weight.shape).to(weight.dtype)
    return network


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_mixed_batch_equals_merged_weights_one_at_a_time(backbone, examples, dtype):
    """algorithms 16.11 and 16.12."""
    model = backbone(dtype)
    layout = model.layout(4, 4, "all")
    one, other = adapters(layout, 2)
    mixes = [((one, 1.0),), ((one, 0.3), (other, 0.7)), (), ((other, -0.5),)]
    rows = model.fixed(examples(model, 2), 4, 0)
    bare, before = model.losses(rows), digest_of(model.network)
    bank = Bank(model, layout, 1)
    repeated = {key: torch.cat([value] * 4) for key, value in rows.items()}
    bank.bind_groups(mixes)
    with torch.no_grad():
        together = model.losses(repeated).view(4, -1)
    bank.close()
    assert torch.equal(model.losses(rows), bare)
    assert digest_of(model.network) == before
    kept, tolerance = model.network, {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    try:
        for mix, losses in zip(mixes, together, strict=True):
            model.network = merged(model, mix)
            assert torch.allclose(model.losses(rows), losses, rtol=tolerance)
            model.network = kept
    finally:
        model.network = kept


def test_scores_do_not_depend_on_what_else_is_scored(backbone, examples):
    model = backbone()
    layout = model.layout(4, 4, "all")
    one, other = adapters(layout, 2)
    jobs = [
        EvalJob("a", one, model.fixed(examples(model, 3), 4, 0)),
        EvalJob("b", None, model.fixed(examples(model, 5), 4, 0)),
    ]
    jobs.append(EvalJob("c", other, jobs[0].rows))
    bank = Bank(model, layout, 2)
    together = evaluate(bank, jobs)
    assert [len(x) for x in together] == [12, 20, 12]
    for job, losses in zip(jobs, together, strict=True):
        assert torch.equal(evaluate(bank, [job])[0], losses)
    assert not torch.equal(together[0], together[2])
    bank.close()


def test_adapters_that_change_nothing_yet_are_scored_as_the_bare_backbone_and_once(backbone, examples, monkeypatch):
    model = backbone()
    layout = model.layout(4, 4, "all")
    rows = model.fixed(examples(model, 3), 4, 0)
    fresh = [layout.start(seed) for seed in (1, 2, 3)]
    assert not torch.equal(fresh[0].row, fresh[1].row)
    bank = Bank(model, layout, 2, rows=8)
    (bare,) = evaluate(bank, [EvalJob("a", None, rows)])
    bound = bank.bind_groups  # an adapter that is bound all the same finds the same numbers
    bound([[(one, 1.0)] for one in fresh[:1]])
    assert torch.equal(model.losses({key: value[:8] for key, value in rows.items()}), bare[:8])
    bank.release()
    calls = []
    monkeypatch.setattr(bank, "bind_groups", lambda mixes: (calls.append(mixes), bound(mixes)))
    for losses in evaluate(bank, [EvalJob(str(i), one, rows) for i, one in enumerate(fresh)]):
        assert torch.equal(losses, bare)
    assert calls == [[[]], [[]]]  # twelve rows by eight
    with pytest.raises(UserError, match="backbone"):
        evaluate(bank, [EvalJob("a", Layout("other", layout.parts).start(1), rows)])
    bank.close()


def test_a_picture_depends_on_its_own_request_alone(backbone):
    model = backbone()
    layout = model.layout(4, 4, "all")
    one, other = adapters(layout, 2)
    wanted = [
        Request("thing", ((one, 1.0),), 1, 3),
        Request("thing", (), 1, 5),
        Request("other thing", ((one, 0.5), (other, 0.5)), 9, 2, 1.5),
    ]
    bank = Bank(model, layout, 1)
    together = sample(bank, wanted)
    for request, picture in zip(wanted, together, strict=True):
        assert np.array_equal(sample(bank, [request])[0], picture)
    assert not np.array_equal(together[0], together[1])
    poison = Adapter(layout, torch.full((layout.size,), float("nan")))
    beside = sample(bank, [wanted[0], Request("thing", ((poison, 1.0),), 1, 3)])
    assert np.array_equal(beside[0], together[0])
    bank.close()


def test_a_mix_of_one_is_that_one_and_weights_are_linear_in_the_update(backbone):
    model = backbone(torch.float64)
    layout = model.layout(4, 4, "attention")
    (one,) = adapters(layout, 1)
    bank = Bank(model, layout, 1)
    halves = sample(bank, [Request("x", ((one, 0.5), (one, 0.5)), 0, 3), Request("x", ((one, 1.0),), 0, 3)])
    assert np.abs(halves[0].astype(int) - halves[1]).max() <= 1
    bank.close()


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (1, 1, 0), (3, 2, 1), (3, 1, 0), (5, 1, 2)])
def test_grouped_convolution_is_each_groups_own(kernel, stride, padding):
    x, a = torch.randn(6, 5, 8, 8, dtype=torch.float64), torch.randn(3, 2, 5 * kernel * kernel, dtype=torch.float64)
    got = grouped_conv(x, a, (kernel,) * 2, (stride,) * 2, (padding,) * 2, (1, 1))
    for g in range(3):
        weight = a[g].view(2, 5, kernel, kernel)
        wanted = torch.nn.functional.conv2d(x[2 * g : 2 * g + 2], weight, None, stride, padding)
        assert torch.allclose(got[g], wanted.flatten(2), atol=1e-12)


def test_what_the_bank_cannot_adapt_is_named(backbone):
    model = backbone()
    digest = model.digest
    for part, text in [
        (LowRank("conv_norm_out", 8, 8, 2), "conv_norm_out: the bank adapts Linear and plain Conv2d layers"),
        (LowRank("nowhere.to_q", 8, 8, 2), "nowhere.to_q: the backbone has no such layer"),
        (Dense("conv_out.bias", (3,)), "low-rank parts only"),
    ]:
        with pytest.raises(UserError, match=text):
            Bank(model, Layout(digest, (part,)), 1)
    layout = model.layout(2, 2, "attention")
    with pytest.raises(UserError, match="belongs to backbone zzz"):
        Bank(model, Layout("zzz", layout.parts), 1)
    bank = Bank(model, layout, 1)
    with pytest.raises(UserError, match="another backbone"):
        bank.load(0, Layout("zzz", layout.parts).zeros())
    with pytest.raises(UserError, match="rank 3 is more than the bank's 2"):
        bank.load(0, layout.with_rank(3).start(0))
    with pytest.raises(UserError, match="adapts 2 layers"):
        bank.load(0, Layout(digest, layout.parts[:2]).zeros())
    bank.close()


def test_width_follows_memory(backbone):
    model = backbone()
    layout = model.layout(4, 4, "all")
    each = client_bytes(model, layout, 8)
    assert each > 800_000
    assert each == client_bytes(model, layout, 8)
    need = predicted_bytes(3, each, layout)
    assert width_for(need, model, layout, 8, 12).width == 3
    assert width_for(need - 1, model, layout, 8, 12).width == 2
    assert [width_for(10**12, model, layout, 8, n).width for n in (5, 7, 12, 13)] == [5, 4, 6, 5]
    assert width_for(predicted_bytes(4, each, layout), model, layout, 8, 6).width == 3  # two passes either way
    with pytest.raises(UserError, match=r"engine.memory: .* MB more are needed"):
        width_for(1000, model, layout, 4, 5)
