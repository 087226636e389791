"""Batches out of prepared examples: which ones, how noisy, which captions dropped; all from one generator."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from coterie.core.work import EVERY_LEVEL, Levels
from coterie.models.backbone import Rows
from coterie.models.buried import levels_between
from coterie.models.noise import Noise

CAPTIONS = ("cat", "house", "apple", "car")


def made_up(count: int, side: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Pictures of nothing, with captions: always the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return pixels, [CAPTIONS[i % len(CAPTIONS)] for i in range(count)]


def drawn(
    prepared: Rows,
    empty: Rows,
    noise: Noise,
    batch: int,
    drop: float,
    generator: torch.Generator,
    levels: Levels = EVERY_LEVEL,
) -> Rows:
    """One training batch; examples come round evenly.

    Args:
        prepared: ``x0`` and conditions, one row an example; conditions that are not there are those of no caption.
        empty: the conditions of no caption at all, one row.
        noise: levels to train at.
        batch: rows.
        drop: share of captions replaced by the empty one.
        generator: of every draw.
        levels: above the first, up to the second.
    """
    x0, n = prepared["x0"], len(prepared["x0"])
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(-(-batch // n))])[:batch]
    buried = torch.randn(batch, *x0.shape[1:], generator=generator)
    level = levels_between(noise, *levels, batch, generator)
    dropped = torch.rand(batch, generator=generator) < drop
    rows = {"x0": x0[order], "noise": buried, "level": level}
    if "since" in prepared:
        rows["since"] = prepared["since"][order]
    for name, nothing in empty.items():
        told = prepared[name][order] if name in prepared else nothing.expand(batch, *nothing.shape[1:])
        rows[name] = torch.where(dropped.view(-1, *[1] * (told.dim() - 1)), nothing, told)
    return rows


def fixed(prepared: Rows, noise: Noise, levels: int, seed: int) -> Rows:
    """Rows ``(n * levels)`` that are always the same, example-major, from clean to noisy."""
    n = len(prepared["x0"])
    generator = torch.Generator().manual_seed(seed)
    buried = torch.randn(n * levels, *prepared["x0"].shape[1:], generator=generator)
    every = {name: value.repeat_interleave(levels, 0) for name, value in prepared.items()}
    return {"noise": buried, "level": noise.even(levels).repeat(n), **every}


def paired(rows: Rows, empty: Rows) -> Rows:
    """Every row of conditions followed by the one of no caption: ``(2 n)`` rows."""
    return {
        name: torch.stack([rows[name], nothing.expand_as(rows[name])], 1).flatten(0, 1)
        for name, nothing in empty.items()
    }
