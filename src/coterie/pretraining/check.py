"""How a training is watched: the loss of drawings that nobody trains on, and a grid of pictures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coterie.core.mixed import mixed
from coterie.models import flow
from coterie.models.unet import build_unet
from coterie.pretraining.batches import to_tensor
from coterie.pretraining.scenes import draw_alone
from coterie.pretraining.sprites import Sprite
from coterie.pretraining.texts import Texts, velocity

GRID_CAPTIONS = (
    "cat face", "dog face", "red apple", "fish", "tulip", "house", "automobile", "guitar",
    "grinning face", "red heart", "star", "birthday cake", "rocket", "penguin", "mushroom", "clown face",
    "a red car in the snow", "a blue bird at night", "a green hat", "a small yellow fish by the sea",
    "a big purple butterfly", "a pink house in a meadow", "a brown horse in the desert", "a gray cat at sunset",
    "owl", "octopus", "hamburger", "soccer ball", "airplane", "key", "umbrella", "evergreen tree",
)  # fmt: skip


class Check:
    """Held-out loss at fixed noise, and a grid of fixed prompts, both of the mean weights."""

    def __init__(self, held_out: list[Sprite], texts: Texts, device: str) -> None:
        rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
        chosen = [held_out[i] for i in rng.permutation(len(held_out))[:256]]
        pictures, captions = zip(*(draw_alone(s, rng) for s in chosen), strict=True)
        self.x0 = to_tensor(np.stack(pictures)).to(device)
        self.noise = torch.randn(self.x0.shape, generator=generator).to(device)
        self.sigma = ((torch.arange(len(self.x0)) % 16 + 0.5) / 16).to(device)
        self.states = [texts(list(captions[i : i + 64])) for i in range(0, len(captions), 64)]
        self.prompts, self.empty = texts(list(GRID_CAPTIONS)), texts([""] * len(GRID_CAPTIONS))
        self.start = torch.randn(len(GRID_CAPTIONS), 3, 32, 32, generator=generator).to(device)
        self.model, self.device = build_unet().to(device).eval(), device

    @torch.no_grad()
    def loss(self, weights: dict[str, Tensor]) -> float:
        """Mean over pictures."""
        self.model.load_state_dict(weights)
        total = 0.0
        for i, states in enumerate(self.states):
            rows = slice(64 * i, 64 * i + len(states.mask))
            x0, noise, sigma = self.x0[rows], self.noise[rows], self.sigma[rows]
            with mixed(self.device):
                out = velocity(self.model, flow.corrupt(x0, noise, sigma), sigma, states)
            total += float(flow.velocity_loss(out, x0, noise).sum())
        return total / len(self.x0)

    @torch.no_grad()
    def grid(self, weights: dict[str, Tensor], path: Path, steps: int, guidance: float = 3.0) -> None:
        """Draws ``GRID_CAPTIONS`` into a PNG file, eight a row."""
        from PIL import Image

        self.model.load_state_dict(weights)
        x, sigmas = self.start, flow.euler_sigmas(steps).to(self.device)
        for here, after in itertools.pairwise(sigmas):
            level = here.expand(len(x))
            with mixed(self.device):
                told = velocity(self.model, x, level, self.prompts).float()
                untold = velocity(self.model, x, level, self.empty).float()
            x = flow.euler_step(x, flow.guide(told, untold, guidance), level, after.expand(len(x)))
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1).cpu().numpy()
        sheet = Image.new("RGB", (8 * 66, len(pixels) // 8 * 66), "white")
        for i, picture in enumerate(pixels):
            sheet.paste(
                Image.fromarray(picture).resize((64, 64), Image.Resampling.NEAREST), (i % 8 * 66 + 1, i // 8 * 66 + 1)
            )
        sheet.save(path)
