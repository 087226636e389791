"""Doodle: the backbone inside the package, a text-to-image model of 4 million parameters at 32 pixels.

Made by ``coterie pretrain`` from freely licensed drawings (see ``assets/doodle/CARD.md``). The network is diffusers'
conditional U-Net, the text encoder MiniLM, the objective flow matching (``coterie.models.flow``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coterie.core.adapter import Layout
from coterie.core.errors import UserError
from coterie.core.size import Size
from coterie.core.work import EVERY_LEVEL, Levels
from coterie.models import flow
from coterie.models.backbone import Makes, Rows
from coterie.models.batches import drawn, fixed, made_up, paired
from coterie.models.buried import noised
from coterie.models.digest import digest_of
from coterie.models.encoders.minilm import minilm
from coterie.models.noise import Flow
from coterie.models.shelves import BACKBONES
from coterie.models.targets import SETS, layout_of
from coterie.models.unet import CONFIG, build_unet
from coterie.models.unet_parts import UNetParts

TARGETS = {
    **SETS,
    "all": r"(^|\.)(to_[qkv]|to_out\.0|conv1|conv2|conv_in|conv_out|conv_shortcut|time_emb_proj)$",
}


@BACKBONES.register("doodle")
@dataclass(frozen=True)
class DoodleSettings:
    """The model that comes with the package; it has no settings."""

    embedded: ClassVar = True
    libraries: ClassVar = ("diffusers.models.unets.unet_2d_condition", "transformers.models.bert.modeling_bert")

    def load(self, dtype: torch.dtype, tokens: int, device: str = "cpu") -> Doodle:
        return Doodle(dtype, tokens)


class Doodle:
    """The backbone, frozen, in one floating-point type.

    Args:
        dtype: of weights and activations; adapters' masters stay float32.
        tokens: width that every encoded caption is padded or cut to. Fixed, so that a row's numbers do not depend on
            the captions of its neighbours.
        network: another U-Net of the same kind, for tests; without it the package's weights are loaded.
    """

    makes: Makes = "pictures"
    side = 32
    device = "cpu"
    component = "unet"
    path = Flow()

    def __init__(self, dtype: torch.dtype = torch.float32, tokens: int = 32, network: nn.Module | None = None) -> None:
        if network is None:
            network = load_weights(weights_folder())
        self.digest = digest_of(network)
        self.num_parameters = sum(p.numel() for p in network.parameters())
        network.eval().requires_grad_(False)
        self.network = nn.Module.to(network, dtype)  # diffusers' own `to` warns about nothing
        self.dtype, self.tokens = dtype, tokens
        config: Any = network.config
        self.side = self.multiple = int(config.sample_size)

    def layout(self, rank: int, alpha: float, targets: str) -> Layout:
        return layout_of(self.network, self.digest, rank, alpha, targets, TARGETS)

    def prepare(self, pixels: NDArray[np.uint8], captions: Sequence[str]) -> Rows:
        x0 = torch.from_numpy(np.array(pixels)).movedim(-1, 1).contiguous().float() / 127.5 - 1
        return {"x0": x0, **self.encode(captions)}

    def examples(self, count: int) -> Rows:
        return self.prepare(*made_up(count, self.side))

    def draw(
        self, prepared: Rows, batch: int, drop: float, generator: torch.Generator, levels: Levels = EVERY_LEVEL
    ) -> Rows:
        return drawn(prepared, self.encode([""]), self.path, batch, drop, generator, levels)

    def levels(self, wanted: int) -> int:
        return wanted

    def fixed(self, prepared: Rows, levels: int, seed: int) -> Rows:
        return fixed(prepared, self.path, levels, seed)

    def losses(self, rows: Rows) -> Tensor:
        x, target, counts = noised(rows, self.path)
        loss = (self._velocity(x, rows["level"], rows).float() - target).square().flatten(1).mean(1)
        return loss if counts is None else counts * loss

    def encode(self, prompts: Sequence[str]) -> Rows:
        """``states (n, tokens, 384)`` and ``mask (n, tokens)``."""
        rows = minilm().alone(prompts)
        return {
            "states": torch.cat([row.states for row in rows])[:, : self.tokens],
            "mask": torch.cat([row.mask for row in rows])[:, : self.tokens],
        }

    def pooled(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([row.pooled for row in minilm().alone(texts)])

    def noise(self, seeds: Sequence[int], size: Size | None = None) -> Tensor:
        shape = (3, *(size or (self.side, self.side)))
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    def grid(self, steps: int, size: Size | None = None) -> Tensor:
        return self.path.grid(steps)

    @torch.no_grad()
    def step(self, x: Tensor, prompts: Rows, sigma: Tensor, sigma_next: Tensor, guidance: Tensor) -> Tensor:
        pairs = paired(prompts, self.encode([""]))
        out = self._velocity(x.repeat_interleave(2, 0), sigma.repeat_interleave(2), pairs).float()
        told, untold = out.view(-1, 2, *out.shape[1:]).unbind(1)
        velocity = flow.guide(told, untold, guidance.view(-1, 1, 1, 1))
        return self.path.step(x, velocity, sigma, sigma_next)

    def finish(self, x: Tensor) -> NDArray[np.uint8]:
        return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1).numpy()

    def sketch(self, checkpointing: bool, quantise: str = "none") -> Doodle | None:
        return None

    def beside(self) -> None:
        return None

    def parts(self, cut: int, shape: str) -> UNetParts:
        return UNetParts(self.network, self.losses, cut)

    def free(self) -> None:
        minilm().free()

    def _velocity(self, x: Tensor, sigma: Tensor, rows: Rows) -> Tensor:
        out: Tensor = self.network(
            x.to(self.dtype),
            sigma * flow.TIMESTEPS,
            encoder_hidden_states=rows["states"].to(self.dtype),
            encoder_attention_mask=rows["mask"].to(self.dtype),
            return_dict=False,
        )[0]
        return out


def weights_folder() -> Path:
    """The folder of the package's weights, in diffusers' layout."""
    return Path(str(files("coterie.models"))) / "assets" / "doodle"


def load_weights(folder: Path) -> Any:
    """The U-Net of a folder with ``config.json`` and ``diffusion_pytorch_model.safetensors``, in float32."""
    from safetensors.torch import load_file

    path = folder / "diffusion_pytorch_model.safetensors"
    if not path.is_file():
        raise UserError(f"{path}: no such file; the backbone's weights are missing, make them with: coterie pretrain")
    network = build_unet(CONFIG)
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network
