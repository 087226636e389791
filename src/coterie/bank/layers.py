"""Layers that add to every group of rows its own low-rank update.

Rows come in groups of equal size: row ``i`` belongs to group ``i // (rows / groups)``. In training a group is a client,
in generation a request. ``a (groups, rank, columns)`` and ``b (groups, rank, out)`` are rank-major, as in an adapter's
row, so that batched products take them without a copy.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coterie.core.adapter import LowRank
from coterie.core.errors import UserError
from coterie.models.conv1d import Straight, is_transposed
from coterie.models.packed import is_linear

ENOUGH = 8192  # positions of one group's rows, from which its convolution gains nothing from company


class GroupedLinear(torch.autograd.Function):
    """``y = x W^T + bias + s (x a^T) b`` for ``x (groups, rows, in)``: one product for the frozen weight, two batched.

    The backward pass skips the frozen weight's gradient and adds the update's part in place. It asks the layer for its
    weight again: a packed layer makes it anew, and nothing keeps it in between.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: nn.Module | Straight, a: Tensor, b: Tensor, s: Tensor) -> Tensor:
        groups, rows, _ = x.shape
        weight: Any = base.weight
        bias: Any = base.bias
        y = F.linear(x.reshape(groups * rows, -1), weight, bias).view(groups, rows, -1)
        del weight
        h = torch.bmm(x, a.transpose(1, 2)).mul_(s)
        y.baddbmm_(h, b)
        ctx.base = base
        ctx.save_for_backward(x, a, b, h, s)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, a, b, h, s = ctx.saved_tensors
        groups, rows, _ = g.shape
        g = g.contiguous()
        dx = da = db = None
        dh = torch.bmm(g, b.transpose(1, 2)).mul_(s)
        if ctx.needs_input_grad[2]:
            da = torch.bmm(dh.transpose(1, 2), x)
            db = torch.bmm(h.transpose(1, 2), g)
        if ctx.needs_input_grad[0]:
            dx = (g.reshape(groups * rows, -1) @ ctx.base.weight).view(groups, rows, -1)
            dx.baddbmm_(dh, a)
        return dx, None, da, db, None


class Banked(nn.Module):
    """A frozen layer and, while the bank is bound, the factors of all groups.

    Attributes:
        base: the layer that it stands in for; its weight never changes.
        a: ``(groups, rank, columns)`` or None, then the layer is bare.
        b: ``(groups, rank, out)``.
        s: scale of each group's update, ``(groups, 1, 1)``.
        beside: more factors ``(a, b)`` under the same scale, active and frozen; None where there are none.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.a: Tensor | None = None
        self.b: Tensor | None = None
        self.s: Tensor | None = None
        self.beside: tuple[Tensor, Tensor] | None = None

    def factors(self) -> tuple[Tensor, Tensor]:
        """All that is active, ranks side by side."""
        assert self.a is not None
        assert self.b is not None
        if self.beside is None:
            return self.a, self.b
        return torch.cat([self.a, self.beside[0]], 1), torch.cat([self.b, self.beside[1]], 1)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # what a model reads of its layers: weight, in_features, kernel_size
            return getattr(super().__getattr__("base"), name)

    def release(self) -> None:
        self.a = self.b = self.s = self.beside = None


class BankedLinear(Banked):
    """For ``nn.Linear``, packed or not."""

    @property
    def straight(self) -> nn.Module | Straight:
        """What shows its weight as ``(out, in)``."""
        return self.base

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.a is None:
            bare: Tensor = self.base(x)
            return bare
        a, b = self.factors()
        out: Tensor = GroupedLinear.apply(  # type: ignore[no-untyped-call]  # torch leaves `apply` without types
            x.reshape(len(a), -1, x.shape[-1]), self.straight, a, b, self.s
        )
        return out.view(*x.shape[:-1], -1)


class BankedConv1D(BankedLinear):
    """For transformers' ``Conv1D``, GPT-2's linear layer; its weight is read the other way round."""

    @property
    def straight(self) -> Straight:
        return Straight(self.base)


class BankedConv2d(Banked):
    """For ``nn.Conv2d``: ``a`` is a convolution to ``rank`` channels, ``b`` a 1x1 convolution to ``out``."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        base: Any = self.base
        y: Tensor = base(x)
        if self.a is None:
            return y
        assert self.s is not None
        a, b = self.factors()
        h = grouped_conv(x, a, base.kernel_size, base.stride, base.padding, base.dilation)
        return y + torch.matmul((b * self.s).transpose(1, 2)[:, None], h).view_as(y)


def grouped_conv(
    x: Tensor, a: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: Any
) -> Tensor:
    """Every group's own convolution of its own rows: ``(groups, rows, rank, height * width)``.

    Which of the forms is fastest was measured on a CPU: in float32 groups as channels; in half precision one batched
    1x1 product to ``rank x kernel`` channels with a shifted sum of them (``fold``), and where a group alone has numbers
    enough to fill the core, one group after another.
    """
    groups, rank, _ = a.shape
    n, channels, height, width = x.shape
    rows = n // groups
    at_once = set(stride) == {1} and set(dilation) == {1} and tuple(2 * p + 1 for p in padding) == tuple(kernel)
    if at_once and tuple(kernel) == (1, 1):
        return torch.matmul(a[:, None], x.reshape(groups, rows, channels, height * width))
    if x.dtype.itemsize < 4 and rows * height * width >= ENOUGH:
        weights = a.view(groups, rank, channels, *kernel).unbind()
        parts = zip(x.split(rows), weights, strict=True)
        each = [F.conv2d(own, weight, None, stride, padding, dilation) for own, weight in parts]
        return torch.stack(each).flatten(-2)
    if x.dtype.itemsize < 4 and at_once:
        taps = a.view(groups, rank, channels, *kernel).flip(-1, -2).permute(0, 1, 3, 4, 2)
        z = torch.matmul(taps.reshape(groups, 1, -1, channels), x.reshape(groups, rows, channels, height * width))
        z = F.fold(z.view(n, -1, height * width), (height, width), kernel, padding=padding)
        return z.view(groups, rows, rank, -1)
    stacked = x.view(groups, rows, channels, height, width).transpose(0, 1).reshape(rows, -1, height, width)
    weight = a.reshape(groups * rank, channels, *kernel)
    z = F.conv2d(stacked, weight, None, stride, padding, dilation, groups)
    return z.view(rows, groups, rank, -1).transpose(0, 1)


def banked(module: nn.Module, part: LowRank) -> Banked:
    """The layer that can stand in for a module.

    Raises:
        UserError: if no such layer is written, or the part's sizes are not the module's; it names the layer.
    """
    made: Banked | None = None
    shape: tuple[int, int] = (0, 0)
    kernel: tuple[int, ...] = ()
    # Exact types: a subclass may compute something else with its weight, or be asked for it past its `forward`.
    if is_linear(module):
        made, shape = BankedLinear(module), (module.out_features, module.in_features)
    elif is_transposed(module):
        made, shape = BankedConv1D(module), (module.weight.shape[1], module.weight.shape[0])
    elif type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros":
        made, shape = BankedConv2d(module), (module.out_channels, module.weight[0].numel())
        kernel = tuple(module.kernel_size)
    if made is None or isinstance(getattr(module, "padding", ()), str):
        raise UserError(
            f"{part.name}: the bank adapts Linear and plain Conv2d layers, this is {type(module).__name__}; leave it "
            "out of the targets"
        )
    if (part.out, part.columns) != shape or tuple(part.kernel) != kernel:
        raise UserError(
            f"{part.name}: the layout says {part.out} x {part.columns} numbers with kernel {tuple(part.kernel)}, "
            f"the layer has {shape[0]} x {shape[1]} with {kernel}"
        )
    return made
