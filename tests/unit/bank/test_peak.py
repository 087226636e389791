"""What is counted on the meta device against what can be counted by hand."""

import copy

import numpy as np
import torch
from torch import nn

from coterie.bank.peak import _Alive, _fused_attention, forward_peak, training_peak
from coterie.models.unet import build_unet


def test_tensors_count_while_they_live():
    with _Alive() as alive:
        first = torch.empty(1000, device="meta")
        view = first[10:].view(9, -1)
        second = first * 2
        del first, view
        third = second + 1
    assert alive.peak == 8000  # the first is gone before the third is there
    assert alive.now == 8000
    del second, third
    assert alive.now == 0


def test_weights_and_views_of_them_are_not_counted_as_new():
    layer = nn.Linear(64, 64, bias=False, device="meta")
    with torch.no_grad(), _Alive() as alive:
        out = torch.empty(1, 64, device="meta") @ layer.weight.t()
    assert alive.now == 4 * 64
    del out


def test_attention_keeps_no_scores():
    q = torch.empty(1, 1, 1000, 8, device="meta", requires_grad=True)
    with _fused_attention(), _Alive() as alive:
        nn.functional.scaled_dot_product_attention(q, q, q).sum().backward()
    assert alive.peak < 4 * 1000 * 100  # the scores alone would be ten times that


def sketch(backbone, checkpointing=False):
    model = copy.copy(backbone())
    with torch.device("meta"):
        network = build_unet({**dict(model.network.config)})
    model.network = nn.Module.to(network, torch.float32).eval().requires_grad_(False)
    model.device = "meta"
    if checkpointing:
        model.network.enable_gradient_checkpointing()
    return model


def test_a_step_grows_with_its_slots_and_shrinks_with_checkpointing(backbone):
    model = backbone()
    layout = model.layout(2, 2.0, "all")
    example = model.prepare(np.zeros((1, model.side, model.side, 3), np.uint8), [""])

    def peak(width, checkpointing=False):
        rows = model.draw(example, 4 * width, 0.0, torch.Generator().manual_seed(0))
        return training_peak(sketch(backbone, checkpointing), layout, rows, width)

    one, two, three = (peak(width) for width in (1, 2, 3))
    assert one.weights == 4 * model.num_parameters
    assert three.adapters == 3 * one.adapters == 3 * layout.size * (4 + 4)
    assert three.numbers == 3 * layout.size
    assert three.total() - three.total("8bit") == 3 * layout.size * 2 * 4 - int(3 * layout.size * 2 * (1 + 4 / 256))
    assert abs((three.passes - two.passes) - (two.passes - one.passes)) < 0.1 * one.passes
    assert peak(2, checkpointing=True).passes < 0.9 * two.passes


def test_a_pass_without_gradients_grows_with_its_rows_and_needs_less_than_training(backbone):
    model = backbone()
    layout = model.layout(2, 2.0, "all")
    example = model.prepare(np.zeros((1, model.side, model.side, 3), np.uint8), [""])
    rows = {n: model.draw(example, n, 0.0, torch.Generator().manual_seed(0)) for n in (1, 2, 4)}
    one, two, four = (forward_peak(sketch(backbone), rows[n]) for n in (1, 2, 4))
    assert one < two < four < training_peak(sketch(backbone), layout, rows[4], 1).passes
    assert four - two == 2 * (two - one)
