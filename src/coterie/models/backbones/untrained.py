"""A small network with random weights of the doodle's kind: for trying a recipe in seconds, and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge

from coterie.models.backbones.doodle import Doodle, DoodleSettings
from coterie.models.shelves import BACKBONES


@BACKBONES.register("untrained")
@dataclass(frozen=True)
class Untrained:
    """Draws noise, but trains, travels and resumes like the real one.

    Attributes:
        channels: of the outer level; the inner one has twice as many.
        side: height and width of a picture in pixels.
        seed: of the weights.
    """

    embedded: ClassVar = True
    libraries: ClassVar = DoodleSettings.libraries

    channels: Annotated[int, Ge(8)] = 8
    side: Annotated[int, Ge(8)] = 16
    seed: int = 0

    def load(self, dtype: torch.dtype, tokens: int, device: str = "cpu") -> Doodle:
        from coterie.models.unet import build_unet

        config = {
            "sample_size": self.side,
            "in_channels": 3,
            "out_channels": 3,
            "block_out_channels": (self.channels, 2 * self.channels),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "cross_attention_dim": 384,
            "attention_head_dim": 8,
            "norm_num_groups": 4,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = build_unet(config)
            torch.nn.init.normal_(network.conv_out.weight, std=0.05)
        return Doodle(dtype, tokens, network)
