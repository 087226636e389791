"""How wide a bank may be, and the peak of a run: predicted before anything is trained.

An embedded backbone is small: two clients' rows are run through it and what they leave behind is counted. A pipeline
may not fit even once: its sketch on the meta device is counted instead (``coterie.bank.peak``), for each kind of work
(``coterie.bank.phases``).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from coterie.bank import phases
from coterie.bank.bank import MOST_ROWS
from coterie.bank.denoise import WIDTH
from coterie.bank.peak import Peak, call_peak, forward_peak, training_peak
from coterie.bank.phases import RESERVE
from coterie.bank.shape import sizes_of, slots_for
from coterie.bank.whole import bank_for, is_whole
from coterie.core.adapter import Layout
from coterie.core.errors import UserError
from coterie.models.backbone import Backbone, Beside, Rows
from coterie.models.packed import KINDS, weight_bytes

WIDEST = 6  # beyond this the curve of the bank is flat at eight pictures a client
SPARE = 1.75  # gradients and temporaries on top of what is kept; a bound of what was measured: 1.4 in bf16, 1.7 in fp32


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
    """How a run fits into memory.

    Attributes:
        width: clients in one pass.
        phases: predicted bytes of each kind of work, of a pipeline with its denoiser. Of an embedded backbone training
            alone, beside which nothing counts.
        checkpointing: whether blocks of the network are computed twice; None where a backbone has no such choice.
        quantise: how frozen linear layers are packed.
        moments: how the optimiser keeps its moments.
        rows: of a call that scores or draws.
    """

    width: int
    phases: Mapping[str, int]
    checkpointing: bool | None = None
    quantise: str = "none"
    moments: str = "fp32"
    rows: int = MOST_ROWS

    @property
    def peak(self) -> int:
        """Predicted bytes of the largest kind of work."""
        return max(self.phases.values())

    @property
    def phase(self) -> str:
        """The largest kind of work; training where another is as large."""
        return "training" if self.phases["training"] == self.peak else max(self.phases, key=self.phases.__getitem__)

    def without(self, phase: str) -> Plan:
        """The same for a run in which there is no work of one kind."""
        return replace(self, phases={name: size for name, size in self.phases.items() if name != phase})


def plan_for(
    memory: int, backbone: Backbone, layout: Layout, batch: int, num_clients: int, choices: Sequence[Way]
) -> Plan:
    """The first way in which training one client fits, and in it the fewest passes.

    Rows of scoring and drawing are as many as fit as well. Other kinds of work cannot be made smaller by a choice, so
    that one of them may be larger than the memory.

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
    scattered = backbone.makes == "texts" and backbone.device == "cpu"
    for way in choices:
        if (kind := (way.quantise, way.checkpointing)) not in known:
            sketch = backbone.sketch(way.checkpointing, way.quantise)
            if sketch is None:
                return replace(width_for(memory, backbone, layout, batch, num_clients), moments=way.moments)
            example = example or backbone.examples(1)
            known[kind] = sketch, [_sketched(sketch, example, layout, batch, width) for width in (1, 2)]
        sketched, peaks = known[kind]
        one, two = (phases.training(peak, way.moments, scattered) for peak in peaks)
        needs.append(one)
        most = 1 + (memory - one) // (two - one) if memory >= one else 0
        most = min(most, 1) if is_whole(layout) else most
        if most:
            width = _balanced(min(most, WIDEST, num_clients), num_clients)
            peak = one + (width - 1) * (two - one)
            held = _Held(
                device=backbone.device,
                weights=peaks[0].weights,
                adapters=2 * width * peaks[0].adapters,  # the slots' own, and those that are bound
                beside=backbone.beside(),
                row=_row_bytes(sketched, example),
            )
            rows = held.rows_for(memory)
            found = {"training": peak, **held.phases(rows), **_packed(way, backbone, held)}
            return Plan(width, found, way.checkpointing, way.quantise, way.moments, rows)
    raise UserError(
        f"engine.memory: one client with a batch of {batch} needs {min(needs) / 1e9:.1f} GB and {memory / 1e9:.1f} GB "
        "are left for it; raise it with --memory, or lower form.fit.batch, method.rank, or backbone.side (of texts "
        "backbone.context)"
    )


@dataclass(frozen=True)
class _Held:
    """What calls without gradients have around them.

    Attributes:
        device: of the network.
        weights: bytes of the frozen network.
        adapters: bytes of those in the bank's slots and of those that are bound.
        beside: encoders and autoencoder; None where they are too small to count.
        row: bytes that are alive in a call, as a function of its rows.
    """

    device: str
    weights: int
    adapters: int
    beside: Beside | None
    row: Callable[[int], int]

    def rows_for(self, memory: int) -> int:
        """Rows of a call: as many as fit when scoring and drawing, a power of two, at least one."""
        rows = MOST_ROWS
        while rows > 1 and max(self.scoring(rows), self.drawing(rows)) > memory:
            rows //= 2
        return rows

    def phases(self, rows: int) -> dict[str, int]:
        """Bytes of each kind of work without gradients."""
        found = {"scoring": self.scoring(rows), "drawing": self.drawing(rows)}
        if self.beside is not None:
            network = self.weights if self.device == "cpu" else 0  # it moves to a card after that
            call = phases.passing(self._encode, self.device)
            found["encoding"] = phases.encoding(network, self.beside.encoders, self.beside.autoencoder, call)
        return found

    def scoring(self, rows: int) -> int:
        return phases.scoring(self.weights, self.adapters, phases.passing(self.row(rows), self.device))

    def drawing(self, rows: int) -> int:
        call = phases.passing(self.row(min(2 * WIDTH, max(2, rows))), self.device)  # a picture takes two rows
        if self.beside is None:
            return phases.scoring(self.weights, self.adapters, call)
        decode = phases.passing(self._decode, self.device)
        encoders, autoencoder = self.beside.encoders, self.beside.autoencoder
        return phases.drawing(self.weights, self.adapters, encoders, autoencoder, call, decode)

    @functools.cached_property
    def _encode(self) -> int:
        return 0 if self.beside is None else call_peak(self.beside.encode)

    @functools.cached_property
    def _decode(self) -> int:
        return 0 if self.beside is None else call_peak(self.beside.decode)


def _row_bytes(sketch: Backbone, example: Rows) -> Callable[[int], int]:
    """Bytes that are alive in a call without gradients, from one and from two rows on."""
    one, two = (
        forward_peak(sketch, sketch.draw(example, rows, 0.0, torch.Generator().manual_seed(0))) for rows in (1, 2)
    )
    return lambda rows: one + (rows - 1) * (two - one)


def _packed(way: Way, backbone: Backbone, held: _Held) -> dict[str, int]:
    """Bytes of rounding weights, where that is still to be done and where main memory is what is counted."""
    layers = [module.weight.numel() for module in backbone.network.modules() if type(module) is nn.Linear]
    if way.quantise not in KINDS or backbone.device != "cpu" or held.beside is None or not layers:
        return {}
    beside = held.beside
    return {"loading": phases.packing(weight_bytes(backbone.network), max(layers), beside.encoders, beside.autoencoder)}


def _sketched(sketch: Backbone, example: Rows, layout: Layout, batch: int, width: int) -> Peak:
    """The peak of a width, by the real pass over tensors without numbers."""
    rows = sketch.draw(example, width * batch, 0.0, torch.Generator().manual_seed(0))
    return training_peak(sketch, layout, rows, width)


def client_bytes(backbone: Backbone, layout: Layout, batch: int) -> int:
    """Bytes that autograd keeps alive for one client's batch, measured by running it: whole storages, not views."""
    bank = bank_for(backbone, layout, 2)
    try:
        for slot in range(bank.width):
            bank.load(slot, layout.start(slot))
        bank.bind_training()
        rows = backbone.draw(backbone.examples(1), bank.width * batch, 0.0, torch.Generator().manual_seed(0))
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
        return sum(tensor.untyped_storage().nbytes() for tensor in kept) // bank.width
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
    each, sizes = client_bytes(backbone, layout, batch), sizes_of(backbone, backbone.examples(1))
    widths = range(1, (1 if is_whole(layout) else min(WIDEST, num_clients)) + 1)
    fitting = [w for w in widths if predicted_bytes(slots_for(w, batch, sizes), each, layout) <= memory]
    if not fitting:
        need = predicted_bytes(1, each, layout) - memory
        raise UserError(
            f"engine.memory: {need / 1e6:.0f} MB more are needed for a batch of {batch}; "
            "raise it, or lower form.fit.batch or engine.workers"
        )
    width = _balanced(max(fitting), num_clients)
    return Plan(width, {"training": predicted_bytes(slots_for(width, batch, sizes), each, layout)})


def _balanced(most: int, num_clients: int) -> int:
    """The smallest width that needs no more passes than the largest."""
    return math.ceil(num_clients / math.ceil(num_clients / most))
