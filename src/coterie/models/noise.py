"""How pictures are buried in noise and dug out again: one interface for diffusion and for flow matching.

A *level* in [0, 1] says how noisy a picture is: 0 is clean. Rows of a batch may be at different levels, in training
and in drawing. The tables (which levels there are, how strong each is) are those of the pipeline's own scheduler; what
diffusers' schedulers do to a whole batch at one timestep is done here row by row.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from coterie.core.errors import UserError
from coterie.models import flow


class Noise(Protocol):
    """What a backbone needs to know of its noise."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels ``(count,)`` to train at."""
        ...

    def even(self, count: int) -> Tensor:
        """Levels ``(count,)`` to measure at, evenly spread from clean to noisy."""
        ...

    def corrupt(self, x0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """``x0 (n, ...)`` with its noise at levels ``(n,)``."""
        ...

    def target(self, x0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What the network should say, ``(n, ...)``."""
        ...

    def weights(self, level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """What ``corrupt`` multiplies picture and noise with at levels ``(n,)``, ``(n, 1, ...)`` each."""
        ...

    def target_from(self, x: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What the network should say of noisy ``x`` if that is the noise in it: ``target`` without the picture."""
        ...

    def timestep(self, level: Tensor) -> Tensor:
        """What the network is told about levels ``(n,)``."""
        ...

    def grid(self, steps: int, tokens: int = 0) -> Tensor:
        """``steps + 1`` levels of a drawing, from noise to 0.

        Args:
            steps: of denoising.
            tokens: of the picture; some schedulers spend more steps among noise the more of them there are.
        """
        ...

    def step(self, x: Tensor, output: Tensor, level: Tensor, after: Tensor) -> Tensor:
        """Rows moved from their levels to the levels after, given the network's output."""
        ...


class Diffusion:
    """A variance-preserving diffusion with a table of levels, drawn without added noise.

    Training: Ho et al., NeurIPS 2020, arXiv:2006.11239; velocity: Salimans and Ho, ICLR 2022, arXiv:2202.00512;
    drawing: DDIM, Song et al., ICLR 2021, arXiv:2010.02502.

    Args:
        scheduler: diffusers' ``DDIMScheduler`` with the pipeline's table.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.prediction = scheduler.config.prediction_type
        if self.prediction not in ("epsilon", "v_prediction"):
            raise UserError(
                f"the scheduler's prediction_type is {self.prediction!r}; there are: epsilon, v_prediction, and flow "
                "matching"
            )
        self.total = int(scheduler.config.num_train_timesteps)
        # entry 0 is what a drawing ends at: clean, or the table's first level where the scheduler says so
        self.kept = torch.cat([scheduler.final_alpha_cumprod.reshape(1), scheduler.alphas_cumprod]).float()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return (torch.randint(self.total, (count,), generator=generator) + 1) / self.total

    def even(self, count: int) -> Tensor:
        return (((torch.arange(count) + 0.5) / count * self.total).floor() + 1) / self.total

    def corrupt(self, x0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        signal, strength = self.weights(level, x0)
        return signal * x0 + strength * noise

    def target(self, x0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        if self.prediction == "epsilon":
            return noise
        signal, strength = self.weights(level, x0)
        return signal * noise - strength * x0

    def target_from(self, x: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        if self.prediction == "epsilon":
            return noise
        signal, strength = self.weights(level, x)
        return (noise - strength * x) / signal

    def timestep(self, level: Tensor) -> Tensor:
        return self._index(level) - 1

    def grid(self, steps: int, tokens: int = 0) -> Tensor:
        if not 1 <= steps <= self.total:
            raise UserError(f"{steps} denoising steps: this backbone has between 1 and {self.total}")
        self.scheduler.set_timesteps(steps)
        levels: Tensor = (self.scheduler.timesteps + 1) / self.total
        return torch.cat([levels, torch.zeros(1)])

    def step(self, x: Tensor, output: Tensor, level: Tensor, after: Tensor) -> Tensor:
        signal, strength = self.weights(level, x)
        if self.prediction == "epsilon":
            x0, noise = (x - strength * output) / signal, output
        else:
            x0, noise = signal * x - strength * output, signal * output + strength * x
        if self.scheduler.config.clip_sample:
            x0 = x0.clamp(-self.scheduler.config.clip_sample_range, self.scheduler.config.clip_sample_range)
        return self.corrupt(x0, noise, after)

    def _index(self, level: Tensor) -> Tensor:
        return (level * self.total).round().long()

    def weights(self, level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.kept.to(like.device)[self._index(level).to(like.device)].view(-1, *[1] * (like.dim() - 1))
        return kept.sqrt(), (1 - kept).sqrt()


class Flow:
    """Flow matching on a straight line; a level is the share of noise (``coterie.models.flow``).

    Args:
        scheduler: diffusers' ``FlowMatchEulerDiscreteScheduler``; None is the plain line without a shift.
    """

    def __init__(self, scheduler: Any = None) -> None:
        self.scheduler = scheduler
        self.dynamic = scheduler is not None and bool(scheduler.config.get("use_dynamic_shifting"))
        self.shift = 1.0 if scheduler is None or self.dynamic else float(scheduler.config.shift)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return self._shifted(flow.draw_sigma((count,), generator))

    def even(self, count: int) -> Tensor:
        return (torch.arange(count) + 0.5) / count

    def corrupt(self, x0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        return flow.corrupt(x0, noise, level.to(x0.device))

    def target(self, x0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        return noise - x0

    def target_from(self, x: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        signal, _ = self.weights(level, x)
        return (noise - x) / signal

    def weights(self, level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        sigma = level.to(like.device).view(-1, *[1] * (like.dim() - 1))
        return 1 - sigma, sigma

    def timestep(self, level: Tensor) -> Tensor:
        return level * flow.TIMESTEPS

    def grid(self, steps: int, tokens: int = 0) -> Tensor:
        if self.scheduler is None:
            return flow.euler_sigmas(steps)
        if self.dynamic:
            known = self.scheduler.config
            slope = (known.max_shift - known.base_shift) / (known.max_image_seq_len - known.base_image_seq_len)
            mu = known.base_shift + slope * (tokens - known.base_image_seq_len)
            self.scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).tolist(), mu=mu)
        else:
            self.scheduler.set_timesteps(steps)
        levels: Tensor = self.scheduler.sigmas.float().cpu()
        return levels

    def step(self, x: Tensor, output: Tensor, level: Tensor, after: Tensor) -> Tensor:
        return flow.euler_step(x, output, level.to(x.device), after.to(x.device))

    def _shifted(self, sigma: Tensor) -> Tensor:
        return self.shift * sigma / (1 + (self.shift - 1) * sigma)


def noise_of(scheduler: Any) -> Noise:
    """The noise of a pipeline, from its own scheduler's settings."""
    from diffusers import DDIMScheduler

    if type(scheduler).__name__.startswith("FlowMatch"):
        return Flow(scheduler)
    if "beta_schedule" not in scheduler.config:
        raise UserError(f"the scheduler {type(scheduler).__name__} has no table of noise that can be read")
    # DDIM clips by default; a pipeline that says nothing of clipping has latents, which know no bounds
    clip = scheduler.config.get("clip_sample", False)
    return Diffusion(DDIMScheduler.from_config(scheduler.config, clip_sample=clip))
