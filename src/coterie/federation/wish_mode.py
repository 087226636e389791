"""What an encoded wish looks like when it leaves a client: projected, noised and rounded, or as it is.

Paper A (arXiv:2508.04745) encodes prompts before they are sent. How much of a sentence each mode still tells, and how
well groups are found from what is left, is measured by ``coterie audit prompts``; none of this is encryption.
Random projections keep angles up to an error of about ``1 / sqrt(project)`` (Johnson and Lindenstrauss, 1984); signs of
numbers keep them too (Charikar, STOC 2002).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from coterie.core.errors import UserError
from coterie.core.seeds import seed_for

_LARGEST = 127  # of a number in int8


@dataclass(frozen=True)
class WishMode:
    """How a wish is made coarser before it is sent; in this order, each left out by default.

    Attributes:
        project: numbers that are left by a random orthogonal projection, which follows from the run's seed and is the
            same for everybody; 0 leaves all 384.
        noise: standard deviation of the Gaussian noise on every number of the vector, whose length is one: with 384
            numbers and 0.05 the noise is about as long as the wish. It is drawn once for each sentence, so that asking
            again shows nothing new.
        rounding: ``int8`` sends a byte for every number, ``sign`` a bit, ``none`` four bytes.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    project: Annotated[int, Ge(0), Le(384)] = 0
    noise: Annotated[float, Ge(0), Le(10)] = 0.0
    rounding: Literal["none", "int8", "sign"] = "none"

    @property
    def title(self) -> str:
        """A short name: ``plain``, ``project 64 + sign``."""
        parts = [f"project {self.project}"] if self.project else []
        parts += [f"noise {self.noise:g}"] if self.noise else []
        parts += [self.rounding] if self.rounding != "none" else []
        return " + ".join(parts) or "plain"

    @property
    def without_noise(self) -> WishMode:
        """The part of a mode that anybody who knows the run's seed can repeat."""
        return replace(self, noise=0.0)

    def projected(self, vectors: Tensor, run_seed: int) -> Tensor:
        """Vectors ``(..., width)`` in the space in which wishes are compared, ``(..., project or width)`` float32.

        Raises:
            UserError: if there are fewer numbers than should be left.
        """
        if not self.project:
            return vectors
        width = vectors.shape[-1]
        if self.project > width:
            raise UserError(
                f"form.wish.project: {self.project} numbers cannot be left of {width}; wanted at most {width}"
            )
        return _unit(vectors.double() @ _axes(width, self.project, run_seed)).float()

    def sent(self, wish: Tensor, run_seed: int, noise_seed: int) -> Tensor:
        """What leaves the client.

        Args:
            wish: unit vectors ``(..., width)`` float32.
            run_seed: of the run; decides the projection.
            noise_seed: the client's own.

        Returns:
            ``(..., n)`` float32 unit vectors, the same in int8, or ``(..., n / 8)`` uint8 with a bit for every sign.
        """
        vectors = self.projected(wish, run_seed)
        if self.noise:
            draw = torch.Generator().manual_seed(noise_seed)
            noise = torch.randn(vectors.shape, generator=draw, dtype=torch.float64)
            vectors = _unit(vectors.double() + self.noise * noise).float()
        if self.rounding == "int8":
            largest = vectors.abs().amax(-1, keepdim=True).clamp_min(1e-12)
            return (vectors / largest * _LARGEST).round().to(torch.int8)
        if self.rounding == "sign":
            if not self.project and vectors.shape[-1] % 8:
                raise UserError(
                    f"form.wish.rounding: {vectors.shape[-1]} signs do not fill bytes; set form.wish.project"
                )
            return torch.from_numpy(np.packbits(vectors.numpy() > 0, axis=-1))
        return vectors

    def opened(self, sent: Tensor) -> Tensor:
        """What the server compares: unit vectors ``(..., n)`` float32 of what was sent."""
        if self.rounding == "none":
            return sent
        if self.rounding == "sign":
            bits = np.unpackbits(sent.numpy(), axis=-1, count=self.project or None)
            return _unit(torch.from_numpy(bits).double() * 2 - 1).float()
        return _unit(sent.double()).float()


def wish_mode_of(form: object) -> WishMode:
    """A form's own mode, or the plain one where a form has none."""
    mode: WishMode = getattr(form, "wish", WishMode())
    return mode


@functools.lru_cache(maxsize=8)
def _axes(width: int, left: int, run_seed: int) -> Tensor:
    """``left`` orthonormal directions at random (Haar), ``(width, left)`` float64."""
    draw = torch.Generator().manual_seed(seed_for(run_seed, 0, "", "wish/projection"))
    q, r = torch.linalg.qr(torch.randn(width, left, generator=draw, dtype=torch.float64))
    axes: Tensor = q * torch.sign(torch.diagonal(r))
    return axes


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
