"""The shelves of this room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from coterie.core.adapter import Layout
from coterie.core.shelf import Shelf
from coterie.models.backbone import Backbone, Makes, Rows


class BackboneSettings(Protocol):
    """Settings of a backbone, which can load it.

    Attributes:
        embedded: whether it is so small that every worker process has its own; such a one knows squares only.
    """

    embedded: ClassVar[bool]
    # makes: ClassVar[Makes], where that is not pictures; see ``makes``
    # libraries: ClassVar[tuple[str, ...]], modules that it imports when it is loaded, where that takes seconds

    def load(self, dtype: torch.dtype, tokens: int, device: str = "cpu") -> Backbone:
        """The frozen model; an embedded one pads or cuts captions to ``tokens``, others as their pipelines do."""
        ...


def makes(settings: BackboneSettings) -> Makes:
    """What a backbone of some settings makes; those that say nothing make pictures."""
    found: Makes = getattr(settings, "makes", "pictures")
    return found


class Method(Protocol):
    """What is trained: makes an adapter's layout for a backbone."""

    def layout(self, backbone: Backbone) -> Layout: ...


class Family(Protocol):
    """How the denoiser of one family of pipelines is asked.

    Attributes:
        pipelines: names of diffusers' pipeline classes.
        component: of the pipeline that is adapted: ``unet`` or ``transformer``.
        distilled: whether guidance is told to the network, instead of a second answer without the prompt.
        encoders: text encoders that can be adapted, by their names in the pipeline.
        checkpoints: what diffusers calls checkpoints of one file of the first of the pipelines.
    """

    pipelines: ClassVar[tuple[str, ...]]
    component: ClassVar[str]
    distilled: ClassVar[bool]
    encoders: ClassVar[tuple[str, ...]]
    checkpoints: ClassVar[tuple[str, ...]]

    def refusal(self, config: Any) -> str:
        """Why a network of these settings cannot be taken, or nothing."""
        ...

    def channels(self, config: Any) -> int:
        """Channels of the latents that a network of these settings takes."""
        ...

    def multiple(self, config: Any) -> int:
        """Height and width of the latents that a network of these settings takes are multiples of it."""
        ...

    def conditions(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        """Prompts as the network wants them, encoded by the pipeline, for squares of ``side`` pixels."""
        ...

    def shaped(self, rows: Rows, height: int, width: int) -> Rows:
        """The same conditions or ``tokens`` for pictures of a height and a width in pixels."""
        ...

    def unconditional(self, pipe: Any, side: int) -> Rows:
        """One row that stands for no prompt at all, as the pipeline guides with."""
        ...

    def tokens(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        """Prompts as the text encoders want them, for when those are adapted; all that is constant of conditions."""
        ...

    def told(self, network: nn.Module, rows: Rows) -> Rows:
        """Conditions out of ``tokens``, by the encoders that hang below the network."""
        ...

    def predict(self, network: nn.Module, x: Tensor, timestep: Tensor, rows: Rows) -> Tensor:
        """The network's answer to noisy latents ``(n, channels, h, w)`` at timesteps ``(n,)``, in their shape.

        A distilled family finds in ``rows`` the ``guidance (n,)`` of a drawing.
        """
        ...


class Keys(NamedTuple):
    """What a file calls the tensors of one layer; ``alpha`` empty where the layout keeps it elsewhere."""

    a: str
    b: str
    alpha: str = ""


class FileLayout(Protocol):
    """How an adapter file names its tensors."""

    def keys(self, component: str, layer: str) -> tuple[Keys, ...]:
        """The spellings of one layer of a component (``unet``, ``transformer``, ...); the first is written."""
        ...


BACKBONES: Shelf[BackboneSettings] = Shelf("coterie.models.backbones", "backbone", "doodle")
FAMILIES: Shelf[Family] = Shelf("coterie.models.families", "family")
METHODS: Shelf[Method] = Shelf("coterie.models.methods", "method", "lora")
LAYOUTS: Shelf[FileLayout] = Shelf("coterie.models.layouts", "layout of adapter files", "peft")
