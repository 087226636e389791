"""How wide a bank may be: predicted from what one row of a batch leaves behind for the backward pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.bank.shape import sizes_of, slots_for
from coterie.core.adapter import Layout
from coterie.core.errors import UserError
from coterie.models.backbone import Backbone, Rows

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16)
SPARE = 1.4  # temporaries of the pass and the allocator's rounding, too little for a bound: docs/dev/now.md


def row_bytes(backbone: Backbone, layout: Layout) -> int:
    """Bytes that autograd keeps for one row of a training batch, measured by running one."""
    bank = Bank(backbone, layout, 1)
    try:
        bank.load(0, layout.start(0))
        bank.bind_training()
        rows = backbone.draw(_example(backbone), 1, 0.0, torch.Generator().manual_seed(0))
        seen = {p.untyped_storage().data_ptr() for p in backbone.network.parameters()}
        kept = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal kept
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in seen:
                seen.add(pointer)
                kept += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            losses = backbone.losses(rows)
        del losses
        return kept
    finally:
        bank.close()


def predicted_bytes(slots: int, batch: int, per_row: int, layout: Layout) -> int:
    """Peak bytes of training beside the backbone: activations, adapters, gradients and moments."""
    return int(SPARE * slots * batch * per_row) + 6 * 4 * slots * layout.size


def width_for(memory: int, backbone: Backbone, layout: Layout, batch: int, num_clients: int) -> int:
    """The largest useful width that fits into ``memory`` bytes.

    Raises:
        UserError: if not even one client fits, with the smallest memory that would do.
    """
    per_row, sizes = row_bytes(backbone, layout), sizes_of(backbone, _example(backbone))
    fitting = [w for w in WIDTHS if predicted_bytes(slots_for(w, batch, sizes), batch, per_row, layout) <= memory]
    if not fitting:
        need = predicted_bytes(1, batch, per_row, layout) - memory
        raise UserError(
            f"engine.memory: {need / 1e6:.0f} MB more are needed for a batch of {batch}; "
            "raise it, or lower form.fit.batch or engine.workers"
        )
    useful = [w for w in fitting if w < num_clients] + [next((w for w in fitting if w >= num_clients), fitting[-1])]
    return max(useful)


def _example(backbone: Backbone) -> Rows:
    return backbone.prepare(np.zeros((1, backbone.side, backbone.side, 3), np.uint8), [""])
