"""What most families of pipelines have in common; a family's file says only what is particular to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from coterie.models.backbone import Rows


class Common(ABC):
    """Guided by a second answer without the prompt; text encoders stay as they are."""

    distilled: ClassVar[bool] = False
    encoders: ClassVar[tuple[str, ...]] = ()
    checkpoints: ClassVar[tuple[str, ...]] = ()

    def refusal(self, config: Any) -> str:
        return ""

    def channels(self, config: Any) -> int:
        return int(config.in_channels)

    def multiple(self, config: Any) -> int:
        halved = len(config.get("block_out_channels") or ())  # a U-Net halves between its blocks; others take patches
        return 2 ** (halved - 1) if halved else max(2, int(config.get("patch_size") or 2))

    @abstractmethod
    def conditions(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        """A row a prompt, as the denoiser is told it."""

    def shaped(self, rows: Rows, height: int, width: int) -> Rows:
        return rows

    def unconditional(self, pipe: Any, side: int) -> Rows:
        return self.conditions(pipe, [""], side)

    def tokens(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        raise LookupError("its text encoders cannot be adapted")

    def told(self, network: nn.Module, rows: Rows) -> Rows:
        raise LookupError("its text encoders cannot be adapted")
