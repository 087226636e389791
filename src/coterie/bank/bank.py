"""The bank: adapters as rows of one flat tensor, bound to the layers of one frozen backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coterie.bank.compose import Mix
from coterie.bank.layers import Banked, banked
from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.core.allocator import keep_freed_memory
from coterie.core.errors import UserError
from coterie.models.backbone import Backbone

MOST_ROWS = 64  # of one call without gradients


class Bank:
    """Owns the adapted layers of a backbone; nobody else binds them.

    Args:
        backbone: frozen; its layers are wrapped until ``close``.
        template: layers and the largest rank that any adapter may have; smaller ranks are padded with zeros, which is
            an exact fixed point of training as long as both factors are zero.
        width: adapters that are trained in one pass.
        moments: how the optimiser keeps its two moments, see ``coterie.bank.optimiser``.
        rows: of a call that scores, or draws, two for every picture; a power of two.

    Attributes:
        master: ``(slots, template.size)`` float32, the slots' adapters; ``slots`` is ``width`` until ``reserve``.
        grad: gradients of the working copy, the same shape in the backbone's type.

    Raises:
        UserError: naming the layer that it cannot adapt; the backbone is then as it was.
    """

    def __init__(
        self, backbone: Backbone, template: Layout, width: int, moments: str = "fp32", rows: int = MOST_ROWS
    ) -> None:
        self.backbone, self.template, self.width, self.moments = backbone, template, width, moments
        self.rows = rows
        if template.backbone != backbone.digest:
            raise UserError(f"the layout belongs to backbone {template.backbone}, here is {backbone.digest}")
        keep_freed_memory()
        self.dtype, self.device = next(backbone.network.parameters()).dtype, backbone.device
        self.layers: list[Banked] = []
        try:
            for part in template.parts:
                self.layers.append(self._wrap(part))
        except UserError:
            self.close()
            raise
        self._allocate(width)

    def close(self) -> None:
        """Puts the bare layers back; a second time does nothing."""
        for part, layer in zip(self.template.parts, self.layers, strict=False):  # fewer when a part was refused
            parent, name = self._place(part.name)
            setattr(parent, name, layer.base)
        self.layers = []

    def narrow(self) -> bool:
        """Halves the width, then has blocks computed twice where the network can; False when nothing is left to do.

        What a client's training comes to stays the same up to rounding.
        """
        network: Any = self.backbone.network
        if self.width > 1:
            self.width = -(-self.width // 2)
        elif hasattr(network, "enable_gradient_checkpointing") and not network.is_gradient_checkpointing:
            network.enable_gradient_checkpointing()
        else:
            return False
        self.reserve(self.width)
        return True

    def fewer_rows(self) -> bool:
        """Halves the rows of a call that scores or draws; False when there is one left."""
        if self.rows == 1:
            return False
        self.rows //= 2
        return True

    def reserve(self, slots: int) -> None:
        """Makes room for a pass of that many slots; what was in them is lost if the number changes."""
        if slots != len(self.master):
            self._allocate(slots)

    def load(self, slot: int, adapter: Adapter | None) -> None:
        """Writes an adapter, or nothing at all, into a slot."""
        if adapter is None:
            self.master[slot], self.scale[slot] = 0.0, 1.0
            return
        self.master[slot] = self.padded(adapter)
        self.scale[slot] = torch.tensor([_scale(part) for part in adapter.layout.parts])

    def read(self, slot: int, layout: Layout) -> Adapter:
        """The adapter in a slot, cut to a layout's ranks."""
        if layout == self.template:
            return Adapter(layout, self.master[slot].clone().cpu())
        whole = Adapter(self.template, self.master[slot].cpu())
        pieces = []
        for index, part in enumerate(layout.parts):
            assert isinstance(part, LowRank)
            b, a = whole.factors(index)
            pieces.append((b[:, : part.rank], a[: part.rank]))
        return build(layout, pieces)

    def factor(self, name: str) -> Tensor:
        """Where in a row the numbers of ``a`` or of ``b`` are, ``(template.size,)`` booleans."""
        found = [
            torch.full((part.rank * (part.columns if which == "a" else part.out),), which == name)
            for part in self.template.parts
            if isinstance(part, LowRank)
            for which in ("a", "b")
        ]
        return torch.cat(found).to(self.device)

    def bind_training(self, besides: Sequence[Adapter | None] = ()) -> None:
        """Makes the slots' factors leaves whose gradients are views of ``grad``: no copies, no concatenation.

        Args:
            besides: for each of the first slots an adapter that is active in its rows and frozen, or None.
        """
        self.sync()
        self.grad.zero_()
        for index, (part, offset) in enumerate(zip(self.template.parts, self.template.offsets, strict=True)):
            assert isinstance(part, LowRank)
            layer, middle = self.layers[index], offset + part.rank * part.columns
            for name, begin, end, last in (
                ("a", offset, middle, part.columns),
                ("b", middle, offset + part.size, part.out),
            ):
                leaf = self.work[:, begin:end].view(-1, part.rank, last).detach().requires_grad_(True)
                leaf.grad = self.grad[:, begin:end].view(-1, part.rank, last)
                setattr(layer, name, leaf)
            layer.s = self.scale[:, index].view(-1, 1, 1).to(self.dtype)
        if any(beside is not None for beside in besides):
            self._bind_beside(besides)

    def _bind_beside(self, besides: Sequence[Adapter | None]) -> None:
        there = [adapter for adapter in besides if adapter is not None]
        layout = self._roomy(there)
        rows = torch.zeros(len(self.master), layout.size)
        scale = torch.zeros(len(self.master), len(layout.parts))
        for slot, adapter in enumerate(besides):
            if adapter is not None:
                rows[slot] = self.padded(adapter, layout)
                scale[slot] = torch.tensor([_scale(part) for part in adapter.layout.parts])
        scale = scale / self.scale.cpu()  # the layer multiplies all factors of a slot with the slot's own scale
        for index, (part, offset) in enumerate(zip(layout.parts, layout.offsets, strict=True)):
            assert isinstance(part, LowRank)
            middle = offset + part.rank * part.columns
            a = rows[:, offset:middle].view(-1, part.rank, part.columns)
            b = rows[:, middle : offset + part.size].view(-1, part.rank, part.out) * scale[:, index, None, None]
            self.layers[index].beside = a.to(self.device, self.dtype), b.to(self.device, self.dtype)

    def bind_groups(self, mixes: Sequence[Mix]) -> None:
        """Gives every group of rows a weighted mix of adapters: ranks side by side, weights and scales in ``b``.

        Needed once for a composition of a batch, not for every step. A group with an empty mix is bare. Ranks beyond
        the template's widen the products of the whole batch.
        """
        unique = {id(adapter): adapter for mix in mixes for adapter, _ in mix}
        if not unique:
            self.release()
            return
        order = {key: i for i, key in enumerate(unique, 1)}
        # Row 0 is no adapter at all. Short mixes are filled up with it and never with somebody's factors at weight
        # zero: zero times not-a-number would carry one request's broken adapter into its neighbours.
        exact = torch.promote_types(self.dtype, torch.float32)
        layout = self._roomy(list(unique.values()))
        padded = [self.padded(adapter, layout) for adapter in unique.values()]
        rows = torch.stack([torch.zeros(layout.size), *padded]).to(exact)
        own = [[_scale(part) for part in adapter.layout.parts] for adapter in unique.values()]
        scales = torch.tensor([[1.0] * len(self.template.parts), *own], dtype=exact)
        most = max(len(mix) for mix in mixes)
        index = torch.zeros(len(mixes), most, dtype=torch.long)
        weight = torch.zeros(len(mixes), most, dtype=exact)
        for i, mix in enumerate(mixes):
            for j, (adapter, share) in enumerate(mix):
                index[i, j], weight[i, j] = order[id(adapter)], share
        for i, (part, offset) in enumerate(zip(layout.parts, layout.offsets, strict=True)):
            assert isinstance(part, LowRank)
            layer, middle = self.layers[i], offset + part.rank * part.columns
            a = rows[:, offset:middle].view(-1, part.rank, part.columns)[index]
            b = rows[:, middle : offset + part.size].view(-1, part.rank, part.out)[index]
            b = b * (weight * scales[:, i][index])[:, :, None, None]
            layer.a, layer.b = (f.flatten(1, 2).to(self.device, self.dtype) for f in (a, b))
            layer.s = torch.ones(1, 1, 1, dtype=self.dtype, device=self.device)

    def release(self) -> None:
        """Leaves the backbone bare."""
        for layer in self.layers:
            layer.release()

    def sync(self) -> None:
        """Brings the working copy up to the float32 master."""
        if self.work is not self.master:
            self.work.copy_(self.master)

    def rank_beyond(self, adapter: Adapter) -> int:
        """The adapter's largest rank where that is more than the template's there, else 0."""
        pairs = zip(adapter.layout.parts, self.template.parts, strict=False)
        more = [a.rank for a, b in pairs if isinstance(a, LowRank) and isinstance(b, LowRank) and a.rank > b.rank]
        return max(more, default=0)

    def _roomy(self, adapters: Sequence[Adapter]) -> Layout:
        """The template, or the same at the largest rank among adapters that do not fit into it."""
        most = max(map(self.rank_beyond, adapters), default=0)
        return self.template.with_rank(most) if most else self.template

    def padded(self, adapter: Adapter, room: Layout | None = None) -> Tensor:
        """An adapter's row at the ranks of the template, or of another layout of the same layers.

        Raises:
            UserError: if it belongs to another backbone, or its layers or ranks do not fit.
        """
        layout, room = adapter.layout, room or self.template
        if layout == room:
            return adapter.row
        if layout.backbone != self.template.backbone:
            raise UserError(
                f"the adapter belongs to another backbone: its digest is {layout.backbone}, "
                f"wanted {self.template.backbone}"
            )
        pieces = []
        if [p.name for p in layout.parts] != [p.name for p in self.template.parts]:
            raise UserError(f"the adapter adapts {len(layout.parts)} layers, the bank {len(self.template.parts)}")
        for index, (theirs, ours) in enumerate(zip(layout.parts, room.parts, strict=True)):
            assert isinstance(ours, LowRank)
            if not isinstance(theirs, LowRank) or (theirs.out, theirs.columns) != (ours.out, ours.columns):
                raise UserError(f"{ours.name}: the adapter's layer is {theirs}, the backbone's {ours}")
            if theirs.rank > ours.rank:
                raise UserError(f"{ours.name}: rank {theirs.rank} is more than the bank's {ours.rank}")
            b, a = adapter.factors(index)
            more = ours.rank - theirs.rank
            pieces.append((torch.cat([b, b.new_zeros(len(b), more)], 1), torch.cat([a, a.new_zeros(more, a.shape[1])])))
        return build(room, pieces).row

    def _allocate(self, slots: int) -> None:
        self.master = torch.zeros(slots, self.template.size, device=self.device)
        self.work = self.master if self.dtype == torch.float32 else self.master.to(self.dtype)
        self.grad = torch.zeros_like(self.work)
        self.scale = torch.ones(slots, len(self.template.parts), device=self.device)

    def _wrap(self, part: Any) -> Banked:
        if not isinstance(part, LowRank):
            raise UserError(f"{part.name}: the bank trains low-rank parts only")
        parent, name = self._place(part.name)
        layer = banked(getattr(parent, name), part)
        setattr(parent, name, layer)
        return layer

    def _place(self, dotted: str) -> tuple[nn.Module, str]:
        parent, _, name = dotted.rpartition(".")
        try:
            where = self.backbone.network.get_submodule(parent)
            getattr(where, name)
        except AttributeError as error:
            raise UserError(f"{dotted}: the backbone has no such layer") from error
        return where, name


def _scale(part: Any) -> float:
    return part.scale if isinstance(part, LowRank) else 1.0
