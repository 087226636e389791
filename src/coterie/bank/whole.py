"""A bank for changes of whole weights: one client at a time, in the network's own parameters.

Low-rank factors of many clients stand beside one frozen weight; whole weights cannot, each client has another. So the
parameters themselves are set to ``W0 + D``, trained, and set back. Passes, schedules, optimisers and draws are those
of the bank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from coterie.bank.bank import MOST_ROWS, Bank
from coterie.bank.compose import Mix
from coterie.core.adapter import Adapter, Dense, Layout, require_same_layout
from coterie.core.allocator import keep_freed_memory
from coterie.core.errors import UserError
from coterie.models.backbone import Backbone


def is_whole(layout: Layout) -> bool:
    """Whether all parts are changes of weights, and not factors beside them."""
    return bool(layout.parts) and all(isinstance(part, Dense) for part in layout.parts)


def bank_for(backbone: Backbone, layout: Layout, width: int, moments: str = "fp32", rows: int = MOST_ROWS) -> Bank:
    """The bank that holds adapters of a layout."""
    if is_whole(layout):
        return WholeBank(backbone, layout, moments, rows)
    return Bank(backbone, layout, width, moments, rows)


class WholeBank(Bank):
    """See ``Bank``; its width is one, and all rows of a call have the same mix.

    Attributes:
        weights: the network's parameters that are changed.
        bare: what they are when nothing is bound.
    """

    def __init__(self, backbone: Backbone, template: Layout, moments: str = "fp32", rows: int = MOST_ROWS) -> None:
        self.backbone, self.template, self.width, self.moments = backbone, template, 1, moments
        self.rows, self.layers = rows, []
        if template.backbone != backbone.digest:
            raise UserError(f"the layout belongs to backbone {template.backbone}, here is {backbone.digest}")
        keep_freed_memory()
        known = dict(backbone.network.named_parameters())
        self.weights: list[nn.Parameter] = [known[part.name] for part in template.parts]
        self.dtype, self.device = self.weights[0].dtype, backbone.device
        self.bare = [weight.detach().clone() for weight in self.weights]
        self._below: Tensor | None = None
        self._allocate(1)

    def close(self) -> None:
        self.release()

    def read(self, slot: int, layout: Layout) -> Adapter:
        require_same_layout(self.template, layout)
        return Adapter(layout, self.master[slot].clone().cpu())

    def padded(self, adapter: Adapter, room: Layout | None = None) -> Tensor:
        require_same_layout(room or self.template, adapter.layout)
        return adapter.row

    def company(self, mix: Mix) -> int:
        names = "".join(f"{adapter.digest}{weight!r}" for adapter, weight in mix)
        return int(hashlib.sha256(names.encode()).hexdigest()[:12], 16) if mix else 0

    def bind_training(self, besides: Sequence[Adapter | None] = ()) -> None:
        below = next((adapter for adapter in besides if adapter is not None), None)
        self._below = None if below is None else self.padded(below).to(self.device)
        self.sync()
        self.grad.zero_()
        for weight, part, offset in zip(self.weights, self.template.parts, self.template.offsets, strict=True):
            weight.requires_grad_(True)
            weight.grad = self.grad[0, offset : offset + part.size].view(weight.shape)

    def bind_groups(self, mixes: Sequence[Mix]) -> None:
        bound = {self.company(mix): mix for mix in mixes if mix}
        if len(bound) > 1:
            raise UserError("adapters of whole weights draw and score one after another; take --way merge")
        self.release()
        for mix in bound.values():
            total = torch.zeros(self.template.size, device=self.device)
            for adapter, weight in mix:
                total += weight * self.padded(adapter).to(self.device)
            self._set(total)

    def release(self) -> None:
        self._below = None
        for weight, bare in zip(self.weights, self.bare, strict=True):
            weight.requires_grad_(False)
            weight.grad = None
            weight.data.copy_(bare)

    def sync(self) -> None:
        self._set(self.master[0] if self._below is None else self.master[0] + self._below)

    @torch.no_grad()
    def _set(self, row: Tensor) -> None:
        """``W0 + D``, added in float32 and rounded once."""
        for weight, bare, part, offset in zip(
            self.weights, self.bare, self.template.parts, self.template.offsets, strict=True
        ):
            weight.data.copy_(bare.float() + row[offset : offset + part.size].view(bare.shape))
