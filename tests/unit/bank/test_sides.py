"""A split model computes what the whole one computes: gradients, and what training makes of the adapter."""

import numpy as np
import pytest
import torch
from tests.unit.bank.split_pair import Played, noted, relative, started, whole_gradient

from coterie.bank import sides
from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, NotFinite, fit
from coterie.bank.operations import operations_of, operations_of_sides
from coterie.bank.whole import bank_for
from coterie.core.errors import UserError
from coterie.core.split import portion_of
from coterie.core.work import Fit
from coterie.models.backbones.doodle import Doodle
from coterie.models.backbones.untrained import Untrained
from coterie.models.methods.full import Full
from coterie.models.parts import portions_of
from coterie.models.unet import build_unet

DEEP = {
    "sample_size": 16, "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 16, 16, 24),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2, "cross_attention_dim": 384, "attention_head_dim": 8, "norm_num_groups": 4,
}  # fmt: skip


def model(kind, dtype=torch.float64):
    if kind == "untrained":
        return Untrained().load(dtype, 8)
    torch.manual_seed(3)
    network = build_unet(DEEP)
    torch.nn.init.normal_(network.conv_out.weight, std=0.05)
    return Doodle(dtype, 8, network)


def prepared(backbone, n=5):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (n, backbone.side, backbone.side, 3), dtype=np.uint8)
    return backbone.prepare(pixels, [f"a cat number {i}" for i in range(n)])


CUTS = [("untrained", 1), ("deep", 1), ("deep", 2), ("deep", 3)]


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize(("kind", "cut"), CUTS)
def test_gradients_of_both_sides_are_those_of_the_whole_model(monkeypatch, kind, cut, method):
    """algorithms 16.6, in float64."""
    backbone = model(kind)
    layout = backbone.layout(2, 2.0, r".") if method == "lora" else Full().layout(backbone)
    bank, start, rows = bank_for(backbone, layout, 1), started(layout), prepared(backbone)
    found = noted(monkeypatch)
    played = Played(bank, "u", cut, start, Fit(steps=1, batch=3, clip=0.0), rows, 7)
    batch = backbone.draw(rows, 3, 0.1, torch.Generator().manual_seed(7))
    played.step()
    wanted = whole_gradient(bank, start, batch)
    both = torch.zeros_like(wanted)
    for who, portion in (("AtClient", played.portions.client), ("AtServer", played.portions.server)):
        mine = sides.places(layout, portion)
        assert found[who].norm() > 0
        both[mine] = found[who]
    assert both.dtype == torch.float64
    assert relative(both, wanted) < 1e-10
    bank.close()


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize(("kind", "cut"), CUTS)
def test_ten_steps_make_the_adapter_that_the_whole_model_makes(kind, cut, optimiser):
    """algorithms 16.6: same draws, warm-up and pull; only clipping is each side's own."""
    backbone = model(kind)
    layout = backbone.layout(2, 2.0, "all")
    bank, start, rows = Bank(backbone, layout, 1), started(layout), prepared(backbone)
    settings = Fit(steps=10, batch=2, rate=1e-2, clip=0.0, optimiser=optimiser, mu=0.1, weight_decay=0.01)
    (whole,) = fit(bank, [FitJob("c", start, settings, rows, 7)])
    split = Played(bank, "u", cut, start, settings, rows, 7).train(10)
    assert relative(split.row.double() - start.row, whole.adapter.row.double() - start.row) < 1e-6  # rows are float32
    assert torch.allclose(split.row, whole.adapter.row, rtol=1e-10, atol=1e-12)
    bank.close()


def test_what_is_handed_over_and_what_is_not():
    """No picture, noise or target leaves a client in the U-shape, and no gradient that nobody wants."""
    backbone = model("deep")
    rows = prepared(backbone)
    for targets, live in (("all", ["h"]), ("attention", ["h"]), (r"down_blocks\.[23]", [])):
        layout = backbone.layout(2, 2.0, targets)
        bank = Bank(backbone, layout, 1)
        played = Played(bank, "u", 2, started(layout), Fit(steps=2, batch=3, clip=0.0), rows, 7)
        g1 = played.step()
        sent = {(who, verb): answer for who, verb, answer in played.handed}
        h1, h2, g2 = sent["client", "forward"], sent["server", "forward"], sent["client", "loss"]
        assert set(h1) == {"h", "temb", "encoder_hidden_states", "encoder_attention_mask", "live"}
        assert h1["live"] == live
        assert tuple(h1["h"].shape) == (3, 16, 4, 4)
        assert tuple(h2["h"].shape) == tuple(g2["h"].shape) == (3, 16, 8, 8)
        assert set(g1) == set(live)
        bank.close()


def test_where_the_inner_blocks_read_no_caption_none_is_handed_over():
    torch.manual_seed(3)
    kinds = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "mid_block_type": "UNetMidBlock2D",
             "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "block_out_channels": (8, 16)}  # fmt: skip
    network = build_unet({**DEEP, **kinds})
    torch.nn.init.normal_(network.conv_out.weight, std=0.05)
    backbone = Doodle(torch.float64, 8, network)
    layout = backbone.layout(2, 2.0, "all")
    bank, start, rows = Bank(backbone, layout, 1), started(layout), prepared(backbone)
    settings = Fit(steps=3, batch=2, clip=0.0)
    played = Played(bank, "u", 1, start, settings, rows, 7)
    split = played.train(3)
    assert set(played.handed[2][2]) == {"h", "temb", "live"}
    (whole,) = fit(bank, [FitJob("c", start, settings, rows, 7)])
    assert torch.allclose(split.row, whole.adapter.row, rtol=1e-10, atol=1e-12)
    bank.close()


def test_the_embedding_of_levels_is_trained_through_the_server_too():
    """Its gradient comes back beside that of the activations."""
    backbone = model("untrained")
    layout = backbone.layout(2, 2.0, r"time_embedding|conv1")
    bank, start, rows = Bank(backbone, layout, 1), started(layout), prepared(backbone)
    settings = Fit(steps=3, batch=2, clip=0.0)
    played = Played(bank, "u", 1, start, settings, rows, 7)
    split = played.train(3)
    assert played.handed[2][2]["live"] == ["h", "temb"]
    (whole,) = fit(bank, [FitJob("c", start, settings, rows, 7)])
    assert relative(split.row, whole.adapter.row) < 1e-6
    bank.close()


def test_each_side_clips_its_own_gradient(monkeypatch):
    backbone = model("untrained")
    layout = backbone.layout(2, 2.0, "all")
    bank, start = Bank(backbone, layout, 1), started(layout)
    settings = Fit(steps=1, batch=2, rate=1.0, clip=1e-3, optimiser="sgd", warmup=0)
    split = Played(bank, "u", 1, start, settings, prepared(backbone), 7).train(1)
    portions = portions_of(layout, backbone.parts(1, "u"))
    for portion in (portions.client, portions.server):
        moved = portion_of(split, portion).row - portion_of(start, portion).row
        assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)
    bank.close()


def test_a_loss_that_is_no_number_and_a_lost_place():
    backbone = model("untrained", torch.float32)
    layout = backbone.layout(2, 2.0, "all")
    bank = Bank(backbone, layout, 1)
    rows = {name: value * torch.nan if name == "x0" else value for name, value in prepared(backbone).items()}
    played = Played(bank, "u", 1, started(layout), Fit(steps=1, batch=2), rows, 7)
    with pytest.raises(NotFinite, match=r"no finite number; try a smaller form.fit.rate"):
        played.step()
    with pytest.raises(LookupError, match="server has lost its place in the round"):
        played.sides.do("server", {"verb": "forward", "during": "1.2", "name": "", "given": {}})
    bank.close()


def test_what_cannot_be_cut_is_one_line():
    backbone = model("deep")
    for cut in (4, 9):
        with pytest.raises(UserError, match=rf"^form.cut: {cut} is outside the model, which has 4 blocks .* 1 to 3$"):
            backbone.parts(cut, "u")
    with pytest.raises(UserError, match=r"^form.cut: no layer of the server's part is in method.targets"):
        portions_of(backbone.layout(2, 2.0, r"conv_in|down_blocks\.0"), backbone.parts(1, "u"))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_operations_of_both_sides_are_those_of_the_whole_model(method):
    """A client with more of the blocks computes more; each pass goes back as far as in the whole."""
    backbone = model("deep", torch.float32)
    layout = backbone.layout(2, 2.0, r".") if method == "lora" else Full().layout(backbone)
    whole, before = operations_of(backbone, layout), 0.0
    for cut in (1, 2, 3):
        client, server = operations_of_sides(backbone, layout, backbone.parts(cut, "u"))
        assert client.forward + server.forward == whole.forward
        assert client.training + server.training == pytest.approx(whole.training, rel=0.02)
        assert before < client.training < whole.training
        before = client.training
