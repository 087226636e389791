"""What every backbone offers to the bank: one border, so that a new family is one new file.

What is trained and scored is the same for pictures and texts (``Backbone``). What is made is not: a picture comes out
of noise (``Draws``), a text word by word (``Writes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coterie.core.adapter import Layout
from coterie.core.size import Size
from coterie.core.work import EVERY_LEVEL, Levels

Rows = Mapping[str, Tensor]
"""Tensors whose first dimension counts rows: examples, or rows of a batch."""

Shaped = tuple[Rows, ...]
"""Rows of each bucket of pictures, in the buckets' order, empty ones too."""


def sets_of(rows: Rows | Shaped) -> Shaped:
    """The sets of pictures of one shape: all rows are one where there are no buckets."""
    return rows if isinstance(rows, tuple) else (rows,)


def count_of(rows: Rows | Shaped) -> int:
    """Rows in all."""
    return sum(len(next(iter(some.values()))) for some in sets_of(rows))


@dataclass(frozen=True)
class Beside:
    """What is in memory beside a network while pictures and captions become numbers, and numbers pictures.

    Attributes:
        encoders: bytes of the text encoders' weights.
        autoencoder: bytes of its weights.
        encode: its largest call that encodes pictures, over tensors without numbers.
        decode: the same of pictures that were drawn.
    """

    encoders: int
    autoencoder: int
    encode: Callable[[], object]
    decode: Callable[[], object]


Makes = Literal["pictures", "texts"]


class Backbone(Protocol):
    """A frozen generative model: what can be trained and scored.

    Attributes:
        makes: ``pictures``, then it ``Draws``, or ``texts``, then it ``Writes``.
        digest: twelve hexadecimal digits of weights and configuration; adapters are bound to it.
        network: the module that holds the adapted layers; its parameters never change.
        num_parameters: of the network.
        device: torch's name of where the network computes; rows and pictures are on the CPU.
        component: of a pipeline that the network is, as adapter files name it: ``unet``, ``transformer`` or
            ``language_model``.
    """

    makes: Makes
    digest: str
    device: str
    component: str
    network: nn.Module
    num_parameters: int

    def layout(self, rank: int, alpha: float, targets: str) -> Layout:
        """The adapter's layout for a choice of layers."""
        ...

    def prepare(self, pixels: NDArray[np.uint8], captions: Sequence[str]) -> Rows:
        """Everything constant about examples, computed once.

        Pictures ``(n, height, width, 3)`` and their captions become as many rows: latents, encoded captions. Of texts
        the pictures are empty and the captions are the texts; how many rows they make is the backbone's to say, and a
        row is what counts as an example from here on.
        """
        ...

    def examples(self, count: int) -> Rows:
        """Made-up examples as ``prepare`` returns them, always the same, for measuring and checking."""
        ...

    def draw(
        self, prepared: Rows, batch: int, drop: float, generator: torch.Generator, levels: Levels = EVERY_LEVEL
    ) -> Rows:
        """One training batch: which examples, noise, noise levels, dropped captions; all from the generator."""
        ...

    def levels(self, wanted: int) -> int:
        """At how many noise levels an example is scored where so many are wanted; 1 where there is no noise."""
        ...

    def fixed(self, prepared: Rows, levels: int, seed: int) -> Rows:
        """Held-out rows ``(n * levels)``, example-major, level by level from clean to noisy, with fixed noise."""
        ...

    def losses(self, rows: Rows) -> Tensor:
        """Loss of every row, float32 ``(n,)``; rows never influence each other.

        The plain mean over rows of ``fixed`` is the loss that is reported: where examples hold unequally much, their
        rows say how much each counts. A row of zeros is nobody's; its loss is finite.
        """
        ...

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """One unit vector a text, ``(n, width)``: what a wish looks like on the wire."""
        ...

    def sketch(self, checkpointing: bool, quantise: str = "none") -> Backbone | None:
        """The same model on the meta device, with or without blocks that are computed twice: shapes, no numbers.

        ``quantise`` is how its frozen linear layers are packed, see ``coterie.models.packed``.

        None where the model is so small that its memory is measured by running it.
        """
        ...

    def beside(self) -> Beside | None:
        """What ``prepare``, ``encode`` and ``finish`` need; None where that is too little to be counted."""
        ...

    def free(self) -> None:
        """Lets go of what only ``prepare``, ``encode`` and ``finish`` need; the next of them loads it again.

        What passes freed goes back to the system, where that is much.
        """
        ...


class Draws(Backbone, Protocol):
    """Makes pictures out of noise, step by step.

    Attributes:
        side: height and width of a square picture in pixels.
        multiple: that heights and widths in pixels are of; the side itself where only squares will do.
    """

    side: int
    multiple: int

    def encode(self, prompts: Sequence[str]) -> Rows:
        """Prompts as the network wants them."""
        ...

    def noise(self, seeds: Sequence[int], size: Size | None = None) -> Tensor:
        """The start of a picture for every seed, each from its own stream; square without a size."""
        ...

    def grid(self, steps: int, size: Size | None = None) -> Tensor:
        """``steps + 1`` noise levels of a drawing of that size, from noise to 0."""
        ...

    def step(self, x: Tensor, prompts: Rows, sigma: Tensor, sigma_next: Tensor, guidance: Tensor) -> Tensor:
        """One denoising step of rows at their own noise levels ``(n,)`` under their own guidance ``(n,)``.

        Calls ``network`` once with ``2 n`` rows, row ``i`` beside its unconditional twin at ``2 i + 1``, or with ``n``
        rows where the network itself is told the guidance.
        """
        ...

    def finish(self, x: Tensor) -> NDArray[np.uint8]:
        """Pixels ``(n, height, width, 3)``."""
        ...


class Writes(Backbone, Protocol):
    """Makes texts, one token after another.

    Attributes:
        context: tokens of an example.
        positions: the most tokens that the network can look back on.
        end: the token that closes a text.
    """

    context: int
    positions: int
    end: int

    def preceded(self, prepared: Rows, by: Rows, tokens: int) -> Rows:
        """Examples with the last tokens of others before each, which are read and not scored."""
        ...

    def begin(self, prompt: str) -> list[int]:
        """A prompt as tokens, with what stands before every text; never empty."""
        ...

    def proceed(self, tokens: Tensor, past: Any = None) -> tuple[Tensor, Any]:
        """Logits of the token after the last, float32 ``(n, vocabulary)``, and what to hand in with the next tokens.

        Args:
            tokens: ``(n, t)`` that follow on what is past; rows never influence each other.
            past: from the call before; None at the beginning.
        """
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens as they are read."""
        ...
