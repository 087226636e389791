"""Training among noise without ever seeing a picture: from one noised version of it, ``z = a_c x0 + s_c eps``.

CollaFuse (Allmendinger et al., 2024, arXiv:2402.19105, arXiv:2406.14429) parts denoising at a level c between clients
and a server. Here the server needs neither ``x0`` nor ``eps``. For a noisier level t it draws its own noise ``e``:
``x_t = q z + p e`` with ``q = a_t / a_c`` and ``p^2 = s_t^2 - q^2 s_c^2`` is distributed like ``a_t x0 + s_t eps``. Its
score is ``-E[e | x_t] / p`` and also ``-E[eps | x_t] / s_t``, so ``(s_t / p) e`` can stand for the noise that the
network is to find: both have the same mean given ``x_t``, hence the same network is best. The squared error counts
``(p / s_t)^2``, so that the stand-in's spread is that of ``e``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coterie.models.backbone import Rows
from coterie.models.noise import Noise

LEAST = 1e-6  # rows of zeros that fill a pass have no noise at all, and must not divide by it


def bury(prepared: Rows, noise: Noise, level: float, told: bool, seed: int) -> Rows:
    """One noised version of every example, with its level as ``since``; conditions only if they are ``told``.

    Args:
        prepared: ``x0`` and conditions.
        noise: of the backbone.
        level: at which pictures are buried.
        told: whether conditions stay.
        seed: of the noise. Always the same for the same pictures: M versions of one with noises of their own would
            multiply what is left of it by M.
    """
    x0 = prepared["x0"]
    drawn = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    since = torch.full((len(x0),), level)
    rest = {name: value for name, value in prepared.items() if name != "x0"} if told else {}
    return {"x0": noise.corrupt(x0, drawn, since), "since": since, **rest}


def noised(rows: Rows, noise: Noise) -> tuple[Tensor, Tensor, Tensor | None]:
    """What the network sees of a batch ``(n, ...)``, what it should say, what each row's error counts (None: one).

    ``rows`` are those of ``batches.drawn``; where they have a ``since``, ``x0`` is a buried picture.
    """
    level, drawn = rows["level"], rows["noise"]
    if "since" not in rows:
        return noise.corrupt(rows["x0"], drawn, level), noise.target(rows["x0"], drawn, level), None
    z = rows["x0"]
    (a, s), (a_c, s_c) = noise.weights(level, z), noise.weights(rows["since"], z)
    q = a / a_c
    p = (s**2 - (q * s_c) ** 2).clamp(min=LEAST**2).sqrt()
    s = s.clamp(min=LEAST)
    x = q * z + p * drawn
    return x, noise.target_from(x, drawn * s / p, level), (p / s).flatten() ** 2


def levels_between(noise: Noise, low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """Levels as they are always drawn, those outside ``(low, high]`` anew until none is."""
    levels = noise.draw(count, generator)
    while (outside := (levels <= low) | (levels > high)).any():
        levels[outside] = noise.draw(int(outside.sum()), generator)
    return levels
