"""How many people's LoRA fit into a graphics card at once: computed on the meta device, not run.

    python benchmarks/memory_table.py [--rank 16] [--batch 1]

The real shapes of well-known models in bfloat16, also with frozen linear layers in 8 and 4 bits, pictures of the size
that each was made for, adapters on attention. What is counted: the denoiser, adapters with gradients and moments, one
forward and backward pass of the bank, and a tenth more for what a sketch does not see. Encoders and autoencoder are let
go of before training and not in it.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import diffusers
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from coterie.bank.peak import training_peak
from coterie.bank.phases import training
from coterie.models.packed import KINDS, pack
from coterie.models.shelves import FAMILIES, Family
from coterie.models.targets import layout_of

CARDS = (8, 12, 16, 24)
MOST = 64


@dataclass(frozen=True)
class Model:
    """Published settings of a denoiser, and the shapes of one row of its conditions."""

    name: str
    family: str
    network: str
    config: Mapping[str, Any]
    latents: tuple[int, int, int]
    conditions: Mapping[str, tuple[int, ...]]


SD3 = {
    "sample_size": 128, "patch_size": 2, "in_channels": 16, "out_channels": 16, "attention_head_dim": 64,
    "joint_attention_dim": 4096, "pooled_projection_dim": 2048, "qk_norm": "rms_norm",
}  # fmt: skip
MODELS = (
    Model(
        "SD 1.5, 512 px", "stable_diffusion", "UNet2DConditionModel",
        {"sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768},
        (4, 64, 64), {"states": (77, 768)},
    ),
    Model(
        "SDXL, 1024 px", "stable_diffusion_xl", "UNet2DConditionModel",
        {
            "sample_size": 128, "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10), "attention_head_dim": (5, 10, 20),
            "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        (4, 128, 128), {"states": (77, 2048), "pooled": (1280,), "sizes": (6,)},
    ),
    Model(
        "SD 3.5 medium, 1024 px", "stable_diffusion_3", "SD3Transformer2DModel",
        {
            **SD3, "num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536,
            "pos_embed_max_size": 384, "dual_attention_layers": tuple(range(13)),
        },
        (16, 128, 128), {"states": (333, 4096), "pooled": (2048,)},
    ),
    Model(
        "SD 3.5 large, 1024 px", "stable_diffusion_3", "SD3Transformer2DModel",
        {
            **SD3, "num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432,
            "pos_embed_max_size": 192,
        },
        (16, 128, 128), {"states": (333, 4096), "pooled": (2048,)},
    ),
    Model(
        "FLUX.1 dev, 1024 px", "flux", "FluxTransformer2DModel", {"guidance_embeds": True},
        (16, 128, 128), {"states": (512, 4096), "pooled": (768,)},
    ),
)  # fmt: skip


class Sketch:
    """What the bank asks of a backbone, without numbers."""

    device, digest = "meta", "sketch"

    def __init__(self, model: Model, checkpointing: bool, quantise: str) -> None:
        self.family: Family = FAMILIES.build(model.family)
        with torch.device("meta"):
            network = getattr(diffusers, model.network)(**model.config)
        self.network = nn.Module.to(network, torch.bfloat16).eval().requires_grad_(False)
        self.num_parameters = sum(p.numel() for p in network.parameters())
        if quantise != "none":
            pack(self.network, quantise)
        if checkpointing:
            self.network.enable_gradient_checkpointing()

    def losses(self, rows: Mapping[str, Tensor]) -> Tensor:
        told = {name: value.bfloat16() for name, value in rows.items()}
        x = told["x0"] + told["noise"]
        answer = self.family.predict(self.network, x, rows["level"] * 1000, told).float()
        return (answer - rows["noise"] + rows["x0"]).square().flatten(1).mean(1)


def rows_of(model: Model, count: int) -> dict[str, Tensor]:
    shapes = {"x0": model.latents, "noise": model.latents, "level": (), **model.conditions}
    return {name: torch.empty(count, *shape, device="meta") for name, shape in shapes.items()}


def needs(model: Model, quantise: str, checkpointing: bool, rank: int, batch: int) -> tuple[int, int, int, int]:
    """Numbers of the denoiser and of an adapter; bytes for one client, and for each more."""
    sketch = Sketch(model, checkpointing, quantise)
    layout = layout_of(sketch.network, "sketch", rank, float(rank), "attention")
    one, two = (
        training(training_peak(sketch, layout, rows_of(model, width * batch), width), "fp32") for width in (1, 2)
    )
    return sketch.num_parameters, layout.size, one, two - one


def fits(memory: int, first: int, more: int) -> int:
    return 0 if memory < first else min(MOST, 1 + (memory - first) // more)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    table = Table(title="clients in one pass, computed, not run; t: blocks computed twice", title_justify="left")
    for heading in ("model", "billion", "adapter", "frozen", "one client", "t", *(f"{card} GB" for card in CARDS)):
        table.add_column(heading, justify="right", no_wrap=True)
    found = []
    for model, kind in itertools.product(MODELS, ("none", *KINDS)):
        numbers, size, plain, plain_more = needs(model, kind, False, options.rank, options.batch)
        *_, twice, twice_more = needs(model, kind, True, options.rank, options.batch)
        cells = []
        for card in CARDS:
            straight, saved = fits(card * 10**9, plain, plain_more), fits(card * 10**9, twice, twice_more)
            cells.append(str(straight) if straight else f"{saved} t" if saved else "no")
        table.add_row(
            model.name, f"{numbers / 1e9:.2f}", f"{size / 1e6:.1f} M", kind.replace("none", "bf16"),
            f"{plain / 1e9:.1f} GB", f"{twice / 1e9:.1f} GB",
            *cells,
        )  # fmt: skip
        found.append(
            {
                "model": model.name, "quantise": kind, "parameters": numbers, "adapter": size, "one_client": plain,
                "each_more": plain_more, "one_client_twice": twice, "each_more_twice": twice_more, "cards": cells,
            }
        )  # fmt: skip
    Console(width=120).print(table)
    print(json.dumps({"benchmark": "memory_table", "rank": options.rank, "batch": options.batch, "rows": found}))


if __name__ == "__main__":
    main()
