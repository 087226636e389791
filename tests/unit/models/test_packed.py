"""Packed layers: what they hold, how far they are off, and what they pass on."""

import pytest
import torch
from torch import nn

from coterie.core.errors import UserError
from coterie.models import packed
from coterie.models.packed import BLOCKS, KINDS, PackedLinear, weight_bytes

NF4 = (
    -1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0,
    0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0,
)  # fmt: skip


def layer(out, columns, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Linear(columns, out, dtype=dtype).requires_grad_(False)


def by_hand(weight, kind):
    """Every number replaced by the nearest step of its block."""
    steps = torch.tensor(NF4) if kind == "nf4" else torch.linspace(-1, 1, 255)
    flat = weight.flatten().float()
    blocks = nn.functional.pad(flat, (0, -len(flat) % BLOCKS[kind])).view(-1, BLOCKS[kind])
    scale = blocks.abs().amax(1, keepdim=True)
    nearest = steps[((blocks / scale)[..., None] - steps).abs().argmin(-1)] * scale
    return nearest.flatten()[: len(flat)].view_as(weight)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(64, 128), (64, 48), (7, 9), (33, 100)])
def test_a_weight_is_the_nearest_step_whatever_its_shape(kind, shape):
    base = layer(*shape)
    got = PackedLinear(base, kind).weight
    assert got.shape == base.weight.shape
    largest = float(base.weight.abs().max())
    nearest, off = by_hand(base.weight, kind), (got - base.weight).abs()
    # a number in the middle may go either way, and the scales of nf4 are in eight bits themselves
    slack = 0.01 if kind == "nf4" else 1e-4
    assert ((off - (nearest - base.weight).abs()) <= slack * largest).all()
    assert off.max() <= {"int8": 1.01 / 254, "nf4": 0.16}[kind] * largest


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_and_gradients_are_those_of_the_unpacked_weight(kind, dtype):
    module = PackedLinear(layer(40, 70, dtype), kind)
    plain = layer(40, 70, dtype)
    plain.weight = nn.Parameter(module.weight, requires_grad=False)
    x, y = (torch.ones(3, 5, 70, dtype=dtype).normal_(generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(x, y)
    out, wanted = module(x.requires_grad_(True)), plain(y.requires_grad_(True))
    assert torch.equal(out, wanted)
    (out.square().sum() + wanted.square().sum()).backward()
    assert torch.equal(x.grad, y.grad)
    assert module.bias.grad is None


def test_the_weight_is_not_kept_for_the_backward_pass():
    module, kept = PackedLinear(layer(64, 64), "int8"), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        module(torch.ones(2, 64, requires_grad=True))
    assert not kept


@pytest.mark.parametrize(("kind", "bits"), [("int8", 8 + 32 / 128), ("nf4", 4 + 8 / 64 + 32 / (64 * 256))])
def test_bytes_are_those_of_codes_and_scales(kind, bits):
    module = PackedLinear(layer(1024, 1024, torch.bfloat16), kind)
    middle = 4 if kind == "nf4" else 0
    assert weight_bytes(module) == 1024 * 1024 * bits / 8 + 2 * 1024 + middle


@pytest.mark.parametrize("kind", KINDS)
def test_a_sketch_beforehand_changes_nothing(kind):
    with torch.device("meta"):
        sketch = PackedLinear(nn.Linear(64, 64), kind)
        assert sketch.weight.is_meta
    assert weight_bytes(sketch) == weight_bytes(PackedLinear(layer(64, 64), kind))
    assert PackedLinear(layer(64, 64), kind).weight.isfinite().all()


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(packed, "installed", lambda: False)
    packed.library.cache_clear()
    with pytest.raises(UserError, match=r"needs bitsandbytes, .*: pip install \"coterie\[quantise\]\""):
        PackedLinear(layer(4, 4), "int8")
