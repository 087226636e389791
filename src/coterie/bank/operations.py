"""How many floating-point operations one example costs, counted in the real passes and not computed from a formula."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from coterie.bank.whole import bank_for
from coterie.core.adapter import Layout
from coterie.models.backbone import Backbone


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
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        backbone.losses(rows)
    bank = bank_for(backbone, layout, 1)
    try:
        bank.load(0, layout.start(0))
        bank.bind_training()
        with FlopCounterMode(display=False) as training:
            backbone.losses(rows).sum().backward()
    finally:
        bank.close()
    return Operations(float(forward.get_total_flops()), float(training.get_total_flops()))
