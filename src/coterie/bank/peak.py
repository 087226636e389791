"""The peak memory of a pass, counted on the meta device: every tensor's size, no tensor's numbers.

The real forward and backward pass of the real bank runs over tensors that have shapes and nothing else. What is alive
at once is added up as tensors come and go, so blocks that are computed twice (checkpointing) count as what they are.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coterie.bank.optimiser import MOMENTS
from coterie.bank.whole import WholeBank, bank_for
from coterie.core.adapter import Layout
from coterie.models.backbone import Backbone, Rows
from coterie.models.packed import weight_bytes


@dataclass(frozen=True)
class Peak:
    """Bytes of one training step.

    Attributes:
        weights: of the frozen network, as it is packed, scales included.
        adapters: master, working copy and gradients of all slots.
        numbers: of all slots' adapters, each of which has two moments.
        passes: the most that a forward and backward pass holds beside them.
    """

    weights: int
    adapters: int
    numbers: int
    passes: int

    def total(self, moments: str = "fp32") -> int:
        """All of it, with the optimiser's moments kept in one of the ways of ``coterie.bank.optimiser``."""
        return self.weights + self.adapters + int(2 * MOMENTS[moments] * self.numbers) + self.passes


def training_peak(backbone: Backbone, layout: Layout, rows: Rows, width: int) -> Peak:
    """Counts one step of ``width`` slots.

    Args:
        backbone: with its network on the meta device.
        layout: of the adapters.
        rows: a batch of all slots, ``width * batch`` rows; only shapes and types are read.
        width: slots.
    """
    bank = bank_for(backbone, layout, width)
    try:
        bank.bind_training()
        with _fused_attention(), _Alive() as alive:
            losses = backbone.losses({name: value.to("meta") for name, value in rows.items()})
            with warnings.catch_warnings():  # strided gradients are meant, as in training
                warnings.filterwarnings("ignore", message="grad and param do not obey")
                losses.sum().backward()
            del losses
        copies = 4 + bank.grad.element_size() + (0 if bank.work is bank.master else bank.work.element_size())
        copies += bank.work.element_size() if isinstance(bank, WholeBank) else 0  # what weights are set back to
        numbers = width * layout.size
        return Peak(weight_bytes(backbone.network), numbers * copies, numbers, alive.peak)
    finally:
        bank.close()


def forward_peak(backbone: Backbone, rows: Rows) -> int:
    """Bytes of a pass without gradients beside the weights, as scoring and drawing make them."""
    return call_peak(lambda: backbone.losses({name: value.to("meta") for name, value in rows.items()}))


def call_peak(call: Callable[[], object]) -> int:
    """The same of any call over tensors without numbers, its answer included."""
    with torch.no_grad(), _fused_attention(), _Alive() as alive:
        call()
    return int(alive.peak)


class _Alive(TorchDispatchMode):
    """Bytes of all storages made inside, now and at most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch ships this class without types
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # a view of what was there before, like a weight turned round, is nothing new
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self._seen and key not in given:
                    self._seen.add(key)
                    self.now += size
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, key, size)
        return out

    def _gone(self, key: int, size: int) -> None:
        self.now -= size
        self._seen.discard(key)


@contextlib.contextmanager
def _fused_attention() -> Iterator[None]:
    """Attention as graphics cards do it: the scores are never in memory. The meta device would write them all out.

    The function itself is replaced: blocks that are computed again run in a thread of autograd's that no mode reaches.
    """
    functional: Any = torch.nn.functional
    usual = functional.scaled_dot_product_attention

    def fused(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **more: Any) -> Tensor:
        out: Tensor = _Fused.apply(query, key, value)  # type: ignore[no-untyped-call]  # torch leaves it without types
        return out

    functional.scaled_dot_product_attention = fused
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = usual


class _Fused(torch.autograd.Function):
    """Shapes of a fused kernel: it keeps its inputs, its output and one number a query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
