"""How many slots a pass needs so that a client's numbers do not depend on its place in it.

Elementwise kernels on a CPU take a tensor in blocks of two vector registers and what is left over one number at a time,
with another ``exp``: the last numbers of a tensor may differ from the same numbers elsewhere by a rounding. Only SiLU,
GELU and their kind show it, and only where the tensor is no whole number of blocks. Then slots of nobody go last.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from coterie.models.backbone import Backbone, Rows, Shaped, count_of, sets_of

BLOCK = 64  # numbers in two AVX-512 registers of bfloat16, the largest block there is; a multiple of all others


class Sizes(NamedTuple):
    """Numbers that one row leaves in the tensors between a network's layers."""

    common: int  # greatest common divisor, with BLOCK
    least: int


def sizes_of(backbone: Backbone, prepared: Rows | Shaped) -> Sizes:
    """Sizes of one row's activations, by running one example through the network; nothing may be bound to it.

    With buckets an example of each, made up where there is no picture: the slots of a pass may not depend on whose
    pictures are there.
    """
    found: list[int] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor):
            found.append(first.numel())

    hooks = [module.register_forward_hook(note) for module in backbone.network.modules()]
    try:
        with torch.no_grad():
            for rows in _one_of_each(sets_of(prepared)):
                backbone.losses(backbone.draw(rows, 1, 0.0, torch.Generator().manual_seed(0)))
    finally:
        for hook in hooks:
            hook.remove()
    return Sizes(math.gcd(BLOCK, *found), min(found, default=BLOCK))


def _one_of_each(sets: Shaped) -> list[Rows]:
    some = next(rows for rows in sets if count_of(rows))

    def of_shape(value: Tensor, like: Tensor) -> Tensor:
        return value if value.shape[1:] == like.shape[1:] else value.new_zeros(len(value), *like.shape[1:])

    return [{name: of_shape(value, rows[name]) for name, value in some.items()} for rows in sets]


def slots_for(width: int, batch: int, sizes: Sizes | None) -> int:
    """Slots of ``batch`` rows in a pass for ``width`` clients: spare ones fill the last block where it is ragged.

    ``sizes`` None, or a width of one where the place never changes, needs no spare.

    >>> slots_for(3, 8, Sizes(64, 128)), slots_for(3, 1, Sizes(16, 48)), slots_for(1, 1, Sizes(16, 48))
    (3, 5, 1)
    """
    if sizes is None or width == 1 or width * batch * sizes.common % BLOCK == 0:
        return width
    return width + math.ceil(BLOCK / (batch * sizes.least))
