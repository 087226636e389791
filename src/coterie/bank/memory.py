"""How wide a bank may be: predicted from what a client's rows leave behind for the backward pass."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.bank.shape import sizes_of, slots_for
from coterie.core.adapter import Layout
from coterie.core.errors import UserError
from coterie.models.backbone import Backbone, Rows

WIDEST = 6  # beyond this the curve of the bank is flat at eight pictures a client
SPARE = 1.75  # gradients and temporaries on top of what is kept; a bound of what was measured: 1.4 in bf16, 1.7 in fp32
RESERVE = 64 * 2**20  # the allocator's, whatever the width


def client_bytes(backbone: Backbone, layout: Layout, batch: int) -> int:
    """Bytes that autograd keeps alive for one client's batch, measured by running two: whole storages, not views."""
    bank = Bank(backbone, layout, 2)
    try:
        for slot in range(2):
            bank.load(slot, layout.start(slot))
        bank.bind_training()
        rows = backbone.draw(_example(backbone), 2 * batch, 0.0, torch.Generator().manual_seed(0))
        seen = {p.untyped_storage().data_ptr() for p in backbone.network.parameters()}
        seen.add(bank.work.untyped_storage().data_ptr())
        kept: list[Tensor] = []  # alive until the end, so that no address is seen twice for two tensors

        def count(tensor: Tensor) -> Tensor:
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in seen:
                seen.add(pointer)
                kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            losses = backbone.losses(rows)
        del losses
        return sum(tensor.untyped_storage().nbytes() for tensor in kept) // 2
    finally:
        bank.close()


def predicted_bytes(slots: int, per_client: int, layout: Layout) -> int:
    """Peak bytes of training beside the backbone: activations, adapters, gradients and moments."""
    return RESERVE + int(SPARE * slots * per_client) + 6 * 4 * slots * layout.size


def width_for(memory: int, backbone: Backbone, layout: Layout, batch: int, num_clients: int) -> int:
    """The smallest width with the fewest passes over all clients that fits into ``memory`` bytes.

    Six clients take two passes at width four, two of their slots idle, and two at width three.

    Raises:
        UserError: if not even one client fits, with the smallest memory that would do.
    """
    each, sizes = client_bytes(backbone, layout, batch), sizes_of(backbone, _example(backbone))
    widths = range(1, min(WIDEST, num_clients) + 1)
    fitting = [w for w in widths if predicted_bytes(slots_for(w, batch, sizes), each, layout) <= memory]
    if not fitting:
        need = predicted_bytes(1, each, layout) - memory
        raise UserError(
            f"engine.memory: {need / 1e6:.0f} MB more are needed for a batch of {batch}; "
            "raise it, or lower form.fit.batch or engine.workers"
        )
    passes = math.ceil(num_clients / max(fitting))
    return math.ceil(num_clients / passes)


def _example(backbone: Backbone) -> Rows:
    return backbone.prepare(np.zeros((1, backbone.side, backbone.side, 3), np.uint8), [""])
