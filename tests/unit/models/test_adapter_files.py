"""Adapter files of other programs: what they write is read to the same numbers, what is wrong is named."""

import json
import struct

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load, save_file

from coterie.bank.bank import Bank
from coterie.core.adapter import Layout, LowRank
from coterie.core.errors import UserError
from coterie.models.adapter_files import adaptable, read_file, written
from coterie.models.backbones.untrained import Untrained
from coterie.models.peft_files import peft_files
from coterie.models.shelves import LAYOUTS

TARGETS = ["to_q", "to_v", "conv1", "time_emb_proj"]


@pytest.fixture(scope="module")
def backbone():
    return Untrained(channels=8, side=8).load(torch.float32, 24)


@pytest.fixture(scope="module")
def layers(backbone):
    return adaptable(backbone.network)


@pytest.fixture(scope="module")
def adapter(backbone, layers):
    """Two ranks, a scale that is not one, linear layers and convolutions."""
    chosen = [n for n in layers if n.rsplit(".", 1)[-1] in TARGETS]
    parts = tuple(
        LowRank(n, layers[n].out, layers[n].columns, 3 if "conv" in n else 2, 1.5, layers[n].kernel) for n in chosen
    )
    layout = Layout(backbone.digest, parts)
    made = layout.start(0)
    generator = torch.Generator().manual_seed(1)
    return type(made)(layout, made.row + 0.1 * torch.randn(layout.size, generator=generator))


def drawn(backbone, adapter=None):
    rows = backbone.prepare(np.full((2, 8, 8, 3), 90, np.uint8), ["cat", "dog"])
    rows = backbone.fixed(rows, 4, 0)
    if adapter is None:
        return backbone.losses(rows)
    bank = Bank(backbone, adapter.layout.with_rank(4), 1)
    try:
        bank.bind_groups([[(adapter, 1.0)]])
        return backbone.losses(rows)
    finally:
        bank.close()


@pytest.mark.parametrize("layout", LAYOUTS.names())
def test_every_layout_reads_back_what_it_wrote(tmp_path, adapter, layers, layout):
    if layout == "peft":
        path = tmp_path
        for name, data in peft_files(adapter).items():
            (path / name).write_bytes(data)
    else:
        path = tmp_path / "a.safetensors"
        path.write_bytes(written(adapter, layout))
    got = read_file(path, layers, adapter.layout.backbone)
    assert got.layout == ("kohya" if layout == "comfy" else layout)  # of a U-Net they are the same
    assert (got.unmatched, got.stripped) == ((), ())
    assert got.adapter.layout.parts == adapter.layout.parts
    assert torch.equal(got.adapter.row, adapter.row)


def test_diffusers_itself_opens_its_layout_to_the_same_losses(tmp_path, backbone, adapter):
    fresh = Untrained(channels=8, side=8).load(torch.float32, 24)
    ours = drawn(backbone, adapter)
    assert not torch.allclose(ours, drawn(backbone), atol=1e-4)
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(written(adapter, "diffusers"))
    network: UNet2DConditionModel = fresh.network
    network.load_lora_adapter(str(tmp_path), weight_name="pytorch_lora_weights.safetensors", prefix="unet")
    network.eval().requires_grad_(False)
    assert torch.allclose(drawn(fresh), ours, atol=1e-5)


@pytest.mark.parametrize("rslora", [False, True])
def test_what_diffusers_and_peft_write_is_read(tmp_path, backbone, layers, rslora):
    fresh = Untrained(channels=8, side=8).load(torch.float32, 24)
    config = LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS, use_rslora=rslora, init_lora_weights=False)
    fresh.network.add_adapter(config)
    fresh.network.save_lora_adapter(tmp_path / "diffusers")
    theirs = drawn(fresh)
    got = read_file(tmp_path / "diffusers/pytorch_lora_weights.safetensors", layers, backbone.digest)
    assert torch.allclose(drawn(backbone, got.adapter), theirs, atol=1e-5)
    other = Untrained(channels=8, side=8).load(torch.float32, 24)
    model = get_peft_model(other.network, config)
    assert isinstance(model, PeftModel)
    model.save_pretrained(tmp_path / "peft")
    other.network = model.eval()
    got = read_file(tmp_path / "peft", layers, backbone.digest)
    assert torch.allclose(drawn(backbone, got.adapter), drawn(other), atol=1e-5)


def test_kohya_without_alpha_has_one_equal_to_its_rank_and_private_fields_are_named(tmp_path, adapter, layers):
    tensors = load(written(adapter, "kohya"))
    alphas = {k: v for k, v in tensors.items() if k.endswith(".alpha")}
    assert sorted({float(v) for v in alphas.values()}) == [3.0, 4.5]
    rest = {k: v.half() for k, v in tensors.items() if k not in alphas}
    save_file(rest, tmp_path / "a.safetensors", {"ss_dataset_dirs": "/home/me", "ss_tag_frequency": "{}"})
    got = read_file(tmp_path / "a.safetensors", layers, "any")
    assert {part.scale for part in got.adapter.layout.parts} == {1.0}
    assert got.assumed == len(got.adapter.layout.parts)
    assert got.stripped == ("ss_dataset_dirs", "ss_tag_frequency")
    assert torch.allclose(got.adapter.row, adapter.row, atol=1e-2)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_named_under_any_ending(tmp_path, adapter, layers, zipped):
    path = tmp_path / "innocent.safetensors"
    torch.save(load(written(adapter, "kohya")), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"innocent\.safetensors: this is a file of torch\.save.*weights_only"):
        read_file(path, layers, "any")


def test_an_alpha_that_is_there_is_not_assumed(tmp_path, adapter, layers):
    for layout in ("kohya", "diffusers"):
        path = tmp_path / f"{layout}.safetensors"
        path.write_bytes(written(adapter, layout))
        assert read_file(path, layers, adapter.layout.backbone).assumed == 0


def _broken(what, tensors):
    first = next(k for k in tensors if k.endswith("lora_down.weight"))
    if what == "wrong key":
        tensors[first.replace("lora_unet_", "lora_unet_no_")] = tensors.pop(first)
    elif what == "one factor":
        del tensors[first]
    elif what == "extra":
        tensors["lora_te_text_model_0.lora_down.weight"] = torch.ones(1)
    elif what == "nan":
        tensors[first].view(-1)[0] = float("nan")
    elif what == "shape":
        tensors[first] = tensors[first][:, :1].contiguous()
    elif what == "zero alpha":
        tensors[first.replace("lora_down.weight", "alpha")] = torch.tensor(0.0)
    elif what == "another model":
        tensors = {f"lora_unet_input_blocks_{i}.lora_down.weight": torch.ones(2, 2) for i in range(3)}
    elif what == "lokr":
        tensors = {"lora_unet_mid.lokr_w1": torch.ones(2, 2)}
    elif what == "vector":
        tensors[first] = torch.ones(3)
    return tensors


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("wrong key", r"1 of 96 tensors are of no layer of this backbone, like lora_unet_no_"),
        ("one factor", r"lora_down\.weight is missing; the other factor of"),
        ("extra", r"1 of \d+ tensors are of no layer of this backbone, like lora_te_text_model_0"),
        ("nan", "is not finite"),
        ("shape", "does not fit"),
        ("zero alpha", "an alpha of 0 makes it no adapter"),
        ("another model", "none of its 3 tensors is of a layer of this backbone; it has lora_unet_input_blocks_0"),
        ("lokr", "this is a LoKr file"),
        ("vector", "must be matrices"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, adapter, layers, what, said):
    path = tmp_path / "a.safetensors"
    save_file(_broken(what, load(written(adapter, "kohya"))), path)
    with pytest.raises(UserError, match=said) as caught:
        read_file(path, layers, "any")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if what == "extra":
        assert read_file(path, layers, "any", allow_unmatched=True).unmatched == (
            "lora_te_text_model_0.lora_down.weight",
        )


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.ckpt", b"\x80\x02", "can run code"),
        ("a.safetensors", b"", "only 0 bytes"),
        ("a.safetensors", struct.pack("<Q", 10 * 2**30) + b"{}", "its header would have 10,737,418,240 bytes"),
        ("a.safetensors", struct.pack("<Q", 2) + b"[]", "not a safetensors file"),
        ("a.safetensors", struct.pack("<Q", 4) + b"{{{{", "not a safetensors file"),
    ],
)
def test_bytes_that_are_no_adapter(tmp_path, layers, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=said):
        read_file(tmp_path / name, layers, "any")


def test_folders_and_backbones(tmp_path, adapter, layers):
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors is here"):
        read_file(tmp_path, layers, "any")
    (tmp_path / "b.safetensors").write_bytes(written(adapter, "kohya"))
    with pytest.raises(UserError, match=r"there are: b\.safetensors"):
        read_file(tmp_path, layers, "any")
    with pytest.raises(UserError, match="belongs to another backbone"):
        read_file(tmp_path / "b.safetensors", layers, "any")
    with pytest.raises(UserError, match="no such file"):
        read_file(tmp_path / "c.safetensors", layers, "any")
    for name, data in peft_files(adapter).items():
        (tmp_path / name).write_bytes(data)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(UserError, match="use_dora is set"):
        read_file(tmp_path, layers, adapter.layout.backbone)
