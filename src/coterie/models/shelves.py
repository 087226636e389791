"""The shelves of this room."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch

from coterie.core.adapter import Layout
from coterie.core.shelf import Shelf
from coterie.models.backbone import Backbone


class BackboneSettings(Protocol):
    """Settings of a backbone, which can load it."""

    def load(self, dtype: torch.dtype, tokens: int) -> Backbone:
        """The frozen model; captions are padded or cut to ``tokens``."""
        ...


class Method(Protocol):
    """What is trained: makes an adapter's layout for a backbone."""

    def layout(self, backbone: Backbone) -> Layout: ...


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
METHODS: Shelf[Method] = Shelf("coterie.models.methods", "method", "lora")
LAYOUTS: Shelf[FileLayout] = Shelf("coterie.models.layouts", "layout of adapter files", "peft")
