"""Flow matching with velocity prediction, as plain functions of tensors.

A picture ``x0`` in [-1, 1] and noise ``e`` are joined by a straight line ``x_sigma = (1 - sigma) x0 + sigma e``; the
network predicts the velocity ``e - x0``. Sources: Lipman et al., ICLR 2023, arXiv:2210.02747; sigma drawn from a
logistic-normal as in Esser et al., ICML 2024, arXiv:2403.03206.
"""

from __future__ import annotations

import torch
from torch import Tensor

TIMESTEPS = 1000  # a network sees sigma * 1000, as diffusers' FlowMatchEulerDiscreteScheduler gives it


def draw_sigma(shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
    """Noise levels in (0, 1), logistic-normal: most in the middle, where a picture's shapes are decided."""
    return torch.sigmoid(torch.randn(shape, generator=generator))


def corrupt(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The point at ``sigma (n,)`` on the line from ``x0 (n, ...)`` to ``noise (n, ...)``."""
    s = sigma.view(-1, *[1] * (x0.dim() - 1))
    return (1 - s) * x0 + s * noise


def velocity_loss(predicted: Tensor, x0: Tensor, noise: Tensor) -> Tensor:
    """Squared error of the velocity, averaged over a picture's numbers: shape ``(n,)``."""
    return (predicted.float() - (noise - x0)).square().flatten(1).mean(1)


def euler_sigmas(steps: int) -> Tensor:
    """``steps + 1`` noise levels from 1 to 0, evenly spaced, for Euler's method."""
    return torch.linspace(1.0, 0.0, steps + 1)


def euler_step(x: Tensor, velocity: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """One step of every row from its own ``sigma (n,)`` to its own ``sigma_next (n,)``."""
    ds = (sigma_next - sigma).view(-1, *[1] * (x.dim() - 1))
    return x + ds * velocity


def guide(conditional: Tensor, unconditional: Tensor, scale: float | Tensor) -> Tensor:
    """Classifier-free guidance: Ho and Salimans, arXiv:2207.12598. ``scale = 1`` is no guidance."""
    return unconditional + scale * (conditional - unconditional)
