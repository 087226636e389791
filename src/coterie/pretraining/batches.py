"""What a step trains on: which pictures, drawn when they are asked for, as tensors with their captions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from coterie.pretraining.scenes import draw
from coterie.pretraining.sprites import Sprite


class Drawn(Dataset[tuple[Tensor, str]]):
    """Pictures by index, in [-1, 1], with captions; each drawn from its own stream of random numbers."""

    def __init__(self, sprites: list[Sprite], seed: int) -> None:
        self.sprites, self.seed = sprites, seed

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        pixels, caption = draw(self.sprites, np.random.default_rng([self.seed, index]))
        return to_tensor(pixels), caption


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels ``(..., h, w, 3)`` of 0 to 255 as a tensor ``(..., 3, h, w)`` in [-1, 1]."""
    return torch.from_numpy(np.array(pixels)).movedim(-1, -3).float() / 127.5 - 1


class Indices:
    """Which pictures a process draws: its share of each whole batch, from a point on."""

    def __init__(self, start: int, end: int, batch: int, share: slice) -> None:
        self.start, self.end, self.batch, self.share = start, end, batch, share

    def __iter__(self) -> Iterator[int]:
        for first in range(self.start, self.end - self.batch + 1, self.batch):
            yield from range(first, first + self.batch)[self.share]


def together(rows: list[tuple[Tensor, str]]) -> tuple[Tensor, list[str]]:
    """Pictures as ``(n, 3, h, w)`` with their captions."""
    return torch.stack([picture for picture, _ in rows]), [caption for _, caption in rows]
