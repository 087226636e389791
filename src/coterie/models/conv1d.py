"""GPT-2's linear layers, which transformers calls ``Conv1D`` and keeps the other way round: weight ``(in, out)``."""

from __future__ import annotations

from typing import Any, TypeGuard

from torch import Tensor, nn


class Transposed(nn.Module):
    """What transformers' ``Conv1D`` looks like; only for type checkers."""

    weight: nn.Parameter
    bias: nn.Parameter


class Straight:
    """A transposed layer as an ``nn.Linear`` shows itself: ``weight (out, in)`` is a view, nothing is copied."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.layer.weight
        return weight.T

    @property
    def bias(self) -> Tensor:
        bias: Tensor = self.layer.bias
        return bias


def is_transposed(module: nn.Module) -> TypeGuard[Transposed]:
    """Whether a module is transformers' own ``Conv1D``.

    Told by its name: whoever has such a layer has loaded transformers, and nobody else should wait for it.
    """
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__.partition(".")[0] == "transformers"
