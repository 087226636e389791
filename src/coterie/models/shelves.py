"""The shelves of this room."""

from __future__ import annotations

from typing import Protocol

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


BACKBONES: Shelf[BackboneSettings] = Shelf("coterie.models.backbones", "backbone", "doodle")
METHODS: Shelf[Method] = Shelf("coterie.models.methods", "method", "lora")
