"""What an adapter of Stable Diffusion 1.5 weighs, counted on its architecture: the table of docs/explanation."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from coterie.models.targets import layout_of

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "ink-case-study.md"


@pytest.fixture(scope="module")
def unet():
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8,
            down_block_types=(*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
            up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        )  # fmt: skip


def linears(network, names):
    return sum(
        8 * (m.weight.shape[0] + m.weight[0].numel())
        for name, m in network.named_modules()
        if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)) and names(name)
    )


def test_the_page_says_what_the_shapes_say(unet):
    with torch.device("meta"):
        encoder = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
    page = PAGE.read_text(encoding="utf-8")
    whole = sum(p.numel() for p in unet.parameters())
    blocks = linears(unet, lambda name: ".attn" in name or ".ff." in name or name.endswith(("proj_in", "proj_out")))
    text = linears(encoder, lambda name: True)
    file = 4_718_856 * 2
    for number in (whole, linears(unet, lambda name: ".attn" in name), blocks, text, blocks + text,
                   linears(unet, lambda name: True)):  # fmt: skip
        assert f"{number:,}" in page
    assert f"{whole * 2 / 1e6:,.2f} MB" in page
    assert blocks + text + 264 == file // 2
    assert round(whole * 2 / 9_547_631) == 180
    assert pytest.approx(9.105, abs=0.001) == 9_547_631 / 2**20
    assert round(189e3 / (5 * 1720)) == 22
    assert pytest.approx(28.6, abs=0.05) == 1300 / (5 * 9.1)


def test_our_layouts_of_that_model_have_these_sizes(unet):
    sizes = {name: layout_of(unet, "sd15", 8, 8.0, name) for name in ("attention", "transformer", "all")}
    found = {name: (len(layout.parts), layout.size) for name, layout in sizes.items()}
    assert found == {"attention": (128, 1_594_368), "transformer": (192, 3_391_488), "all": (282, 8_465_728)}
