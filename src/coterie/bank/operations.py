"""How many floating-point operations one example costs, counted in the real passes and not computed from a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from coterie.bank.sides import leaf
from coterie.bank.whole import bank_for
from coterie.core.adapter import Layout
from coterie.models.backbone import Backbone
from coterie.models.parts import Parts


@dataclass(frozen=True)
class Operations:
    """Of one example; a multiplication and an addition are two.

    Attributes:
        forward: of the bare model.
        training: forward and back with an adapter, of which the frozen weights need no gradients of their own;
            with those of all weights where these are trained.
    """

    forward: float
    training: float


def operations_of(backbone: Backbone, layout: Layout) -> Operations:
    """Counted over matrix products, convolutions and attention, which is nearly all there is.

    Args:
        backbone: bare.
        layout: of the adapters.
    """
    rows = backbone.draw(backbone.examples(1), 1, 0.0, torch.Generator().manual_seed(0))
    return _counted(backbone, layout, lambda: [backbone.losses(rows)])


def operations_of_sides(backbone: Backbone, layout: Layout, parts: Parts) -> tuple[Operations, Operations]:
    """Those of a client and those of the server where a model is split; together they are the whole one's.

    A pass that is run once more because no graph is kept between messages is not counted: it saves memory here, and a
    device that keeps the graph does without.

    Args:
        backbone: bare.
        layout: of the whole adapters.
        parts: the network, cut.
    """
    rows = backbone.draw(backbone.examples(1), 1, 0.0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        given = parts.client(rows, None)[0]
        answer = parts.server(given)
    back = None if answer.shape == (1,) else answer  # in the V-shape the server answers with losses

    live = set[str]()  # what a gradient goes back to

    def client() -> list[Tensor]:
        passed, losses = parts.client(rows, None if back is None else leaf(back))
        live.update(name for name, value in passed.items() if value.requires_grad)
        return [*passed.values(), *([] if losses is None else [losses])]

    def server() -> list[Tensor]:
        return [parts.server({name: leaf(value) if name in live else value for name, value in given.items()})]

    return _counted(backbone, layout, client), _counted(backbone, layout, server)


def _counted(backbone: Backbone, layout: Layout, ends: Callable[[], list[Tensor]]) -> Operations:
    """Of a pass to where it ends, bare, and with an adapter there and back."""
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        ends()
    bank = bank_for(backbone, layout, 1)
    try:
        bank.load(0, layout.start(0))
        bank.bind_training()
        with FlopCounterMode(display=False) as training:
            torch.stack([end.sum() for end in ends() if end.requires_grad]).sum().backward()
    finally:
        bank.close()
    return Operations(float(forward.get_total_flops()), float(training.get_total_flops()))
