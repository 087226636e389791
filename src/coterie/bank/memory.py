"""How wide a bank may be: predicted before anything is trained.

An embedded backbone is small: two clients' rows are run through it and what they leave behind is counted. A pipeline
may not fit even once: its sketch on the meta device is counted instead (``coterie.bank.peak``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from coterie.bank.bank import MOST_ROWS, Bank
from coterie.bank.peak import Peak, forward_peak, training_peak
from coterie.bank.shape import sizes_of, slots_for
from coterie.core.adapter import Layout
from coterie.core.errors import UserError
from coterie.models.backbone import Backbone, Rows

WIDEST = 6  # beyond this the curve of the bank is flat at eight pictures a client
SPARE = 1.75  # gradients and temporaries on top of what is kept; a bound of what was measured: 1.4 in bf16, 1.7 in fp32
MARGIN = 1.1  # kernels' workspaces and an allocator's gaps, which a sketch does not see
RESERVE = 64 * 2**20  # the allocator's, whatever the width


@dataclass(frozen=True)
class Way:
    """What is done to make a training step small.

    Attributes:
        quantise: how frozen linear layers are packed, see ``coterie.models.packed``; ``none`` leaves them.
        moments: how the optimiser keeps its moments, see ``coterie.bank.optimiser``.
        checkpointing: whether blocks of the network are computed twice.
    """

    quantise: str = "none"
    moments: str = "fp32"
    checkpointing: bool = False


def ways(quantise: Sequence[str], moments: Sequence[str], checkpointing: Sequence[bool]) -> list[Way]:
    """All ways, in the order in which they are tried.

    Computing twice changes no number, so it comes before rounding. Moments come last: rounding them saves little, and
    moves what is learned further than rounding the frozen weights does.
    """
    return [Way(kind, how, twice) for how, kind, twice in itertools.product(moments, quantise, checkpointing)]


@dataclass(frozen=True)
class Plan:
    """How training fits into memory.

    Attributes:
        width: clients in one pass.
        peak: predicted bytes of training: activations, adapters, gradients, moments, and of a pipeline its denoiser.
        checkpointing: whether blocks of the network are computed twice; None where a backbone has no such choice.
        quantise: how frozen linear layers are packed.
        moments: how the optimiser keeps its moments.
        rows: of a call that scores or draws.
    """

    width: int
    peak: int
    checkpointing: bool | None = None
    quantise: str = "none"
    moments: str = "fp32"
    rows: int = MOST_ROWS


def plan_for(
    memory: int, backbone: Backbone, layout: Layout, batch: int, num_clients: int, choices: Sequence[Way]
) -> Plan:
    """The first way in which one client fits, and in it the fewest passes.

    Args:
        memory: bytes for training, a pipeline's denoiser among them.
        backbone: bare.
        layout: of the adapters.
        batch: rows of a client.
        num_clients: of one process.
        choices: the ways that a pipeline may be trained in, best first.

    Raises:
        UserError: if not even one client fits, with what is missing.
    """
    needs: list[int] = []
    example: Rows = {}
    known: dict[tuple[str, bool], tuple[Backbone, list[Peak]]] = {}
    for way in choices:
        if (kind := (way.quantise, way.checkpointing)) not in known:
            sketch = backbone.sketch(way.checkpointing, way.quantise)
            if sketch is None:
                return replace(width_for(memory, backbone, layout, batch, num_clients), moments=way.moments)
            example = example or _example(backbone)
            known[kind] = sketch, [_sketched(sketch, example, layout, batch, width) for width in (1, 2)]
        sketched, peaks = known[kind]
        one, two = (needed(peak, way.moments) for peak in peaks)
        needs.append(one)
        most = 1 + (memory - one) // (two - one) if memory >= one else 0
        if most:
            width = _balanced(min(most, WIDEST, num_clients), num_clients)
            peak = one + (width - 1) * (two - one)
            beside = peaks[0].weights + 2 * width * peaks[0].adapters  # the slots' own, and those that are scored
            rows = _rows_for(memory - beside, sketched, example)
            return Plan(width, peak, way.checkpointing, way.quantise, way.moments, rows)
    raise UserError(
        f"engine.memory: one client with a batch of {batch} needs {min(needs) / 1e9:.1f} GB and {memory / 1e9:.1f} GB "
        "are left for it; raise it with --memory, or lower form.fit.batch, backbone.side or method.rank"
    )


def _rows_for(memory: int, sketch: Backbone, example: Rows) -> int:
    """Rows of a call without gradients that fit beside the weights: a power of two, at least one."""
    one, two = (
        forward_peak(sketch, sketch.draw(example, rows, 0.0, torch.Generator().manual_seed(0))) for rows in (1, 2)
    )
    most = 1 + (memory - RESERVE - MARGIN * one) / (MARGIN * max(1, two - one))
    return min(MOST_ROWS, 1 << max(0, math.floor(math.log2(max(1.0, most)))))


def _sketched(sketch: Backbone, example: Rows, layout: Layout, batch: int, width: int) -> Peak:
    """The peak of a width, by the real pass over tensors without numbers."""
    rows = sketch.draw(example, width * batch, 0.0, torch.Generator().manual_seed(0))
    return training_peak(sketch, layout, rows, width)


def needed(peak: Peak, moments: str) -> int:
    """Bytes that a pass is given, with what a sketch does not see."""
    return RESERVE + int(MARGIN * peak.total(moments))


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


def width_for(memory: int, backbone: Backbone, layout: Layout, batch: int, num_clients: int) -> Plan:
    """For an embedded backbone: the smallest width with the fewest passes over all clients in ``memory`` bytes.

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
    width = _balanced(max(fitting), num_clients)
    return Plan(width, predicted_bytes(slots_for(width, batch, sizes), each, layout))


def _balanced(most: int, num_clients: int) -> int:
    """The smallest width that needs no more passes than the largest."""
    return math.ceil(num_clients / math.ceil(num_clients / most))


def _example(backbone: Backbone) -> Rows:
    return backbone.prepare(np.zeros((1, backbone.side, backbone.side, 3), np.uint8), [""])
