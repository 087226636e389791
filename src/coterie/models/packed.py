"""Frozen linear layers in eight or four bits: unpacked for each product, and never kept unpacked.

bitsandbytes packs and unpacks; it is an extra. Blocks of numbers share a scale. ``int8``: 255 even steps, one float32
scale for 128 numbers. ``nf4``: the sixteen steps of QLoRA, a scale for 64 numbers, the scales themselves in eight bits.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Collection
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coterie.core.allocator import let_pages_go
from coterie.core.errors import UserError
from coterie.models.conv1d import Straight, Transposed, is_transposed

BLOCKS = {"int8": 128, "nf4": 64}
"""Numbers that share a scale, by kind."""

KINDS = tuple(BLOCKS)
OUTER = 256  # four-bit scales that share a scale of their own
EXTRA = 'pip install "coterie[quantise]"'

# It tells of kernels that it does not find when it is imported, which diffusers does on its own account.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


class PackedLinear(nn.Module):
    """Stands in for a frozen ``nn.Linear``, or for GPT-2's of its own, whose gradient it passes on to its input.

    Args:
        layer: on the meta device only sizes are packed.
        kind: one of ``KINDS``.

    Attributes:
        codes: the weight, one byte for one number or for two.
        scales: of its blocks.
        bias: as it was.
        transposed: whether files of the model keep the weight the other way round.

    Raises:
        UserError: if the extra is not installed.
    """

    bias: nn.Parameter | None
    codes: Tensor
    scales: Tensor

    def __init__(self, layer: nn.Linear | Transposed, kind: str) -> None:
        super().__init__()
        self.transposed, self.kind = is_transposed(layer), kind
        weight = Straight(layer).weight if self.transposed else layer.weight
        (self.out_features, self.in_features), self.dtype = weight.shape, weight.dtype
        self.register_parameter("bias", layer.bias)
        functional, block = library().functional, BLOCKS[kind]
        # Whole blocks whatever the weight's shape: the processor's four-bit kernel (0.50) begins a new block with every
        # row when it unpacks, also where none began when it packed.
        flat = weight.detach().flatten().float()
        blocks = F.pad(flat, (0, -len(flat) % block)).view(-1, block)
        self._shape = blocks.shape
        if kind == "int8":
            codes, state = functional.quantize_blockwise(blocks, code=_steps(kind, blocks.device), blocksize=block)
            found = {"codes": codes, "scales": state.absmax}
        else:
            codes, state = functional.quantize_4bit(blocks, blocksize=block, compress_statistics=False, quant_type=kind)
            middle = state.absmax.mean()
            # here and not by `compress_statistics`: that one keeps its table on the device of the very first weight
            scales, outer = functional.quantize_blockwise(
                state.absmax - middle, code=_steps("scales", blocks.device), blocksize=OUTER
            )
            found = {"codes": codes, "scales": scales, "middle": middle, "outer": outer.absmax}
        for name, value in found.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def weight(self) -> Tensor:
        """``(out, in)``, unpacked anew each time, in the type that it had."""
        functional = library().functional
        size = {"blocksize": BLOCKS[self.kind], "shape": self._shape, "dtype": self.dtype}
        if self.kind == "int8":
            state = functional.QuantState(self.scales, code=_steps(self.kind, self.codes.device), **size)
            blocks = functional.dequantize_blockwise(self.codes, state)
        else:
            state = functional.QuantState(self._unpacked_scales(), quant_type=self.kind, **size)
            blocks = functional.dequantize_4bit(self.codes, state)
        flat: Tensor = blocks.flatten()[: self.out_features * self.in_features]
        return flat.view(self.out_features, self.in_features)

    def _unpacked_scales(self) -> Tensor:
        """Of four-bit blocks, whose scales are in eight bits around their mean."""
        functional, steps = library().functional, _steps("scales", self.codes.device)
        state = functional.QuantState(self.get_buffer("outer"), code=steps, blocksize=OUTER, dtype=torch.float32)
        scales: Tensor = functional.dequantize_blockwise(self.scales, state)
        return scales.add_(self.get_buffer("middle"))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]  # torch leaves `apply` without types
        return out


class _Product(torch.autograd.Function):
    """``y = x W^T + bias``; the backward pass unpacks the weight again, so that it is not kept for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: PackedLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.weight, layer.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        return g @ ctx.layer.weight, None


def is_linear(module: nn.Module) -> TypeGuard[nn.Linear | PackedLinear]:
    """Whether factors can stand beside a layer as beside an ``nn.Linear``.

    Exact types: a subclass may compute something else with its weight, or be asked for it past its ``forward``.
    """
    return type(module) in (nn.Linear, PackedLinear)


def pack(network: nn.Module, kind: str, leave: Collection[nn.Module] = ()) -> None:
    """Packs every linear layer of a frozen network in place, one after another.

    Args:
        network: whose weights never change.
        kind: one of ``KINDS``.
        leave: layers that stay as they are.

    Raises:
        UserError: if the extra is not installed.
    """
    for name, module in list(network.named_modules()):
        if (type(module) is nn.Linear or is_transposed(module)) and module not in leave:
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, PackedLinear(module, kind))
            let_pages_go(module.weight)  # a file may stay mapped for the layers that are not packed


def weight_bytes(network: nn.Module) -> int:
    """Bytes of all that a network holds, packed or not."""
    held = {id(t): t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers())}
    return sum(held.values())


def installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("bitsandbytes") is not None


def require_extra(key: str) -> None:
    """Checks for the extra before anything large is loaded.

    Args:
        key: of the recipe, with its value, that asks for it.

    Raises:
        UserError: saying how to install it.
    """
    if not installed():
        raise UserError(f"{key} needs bitsandbytes, which is not installed: {EXTRA}")


@functools.cache
def _steps(name: str, device: torch.device) -> Tensor:
    """The numbers between -1 and 1 that 256 codes stand for; made on the processor whatever device is current."""
    functional = library().functional
    with torch.device("cpu"):
        even = name == "int8"
        steps: Tensor = functional.create_linear_map(True, 8) if even else functional.create_dynamic_map(True)
    return steps.to(device)


@functools.cache
def library() -> Any:
    """bitsandbytes, loaded when it is first needed.

    Raises:
        UserError: if it is not installed.
    """
    require_extra("quantisation")
    import bitsandbytes

    return bitsandbytes
