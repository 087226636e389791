"""AdamW over a bank's rows, its two moments in float32 or in eight bits; or plain steps along the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from coterie.models.packed import library

MOMENTS = {"fp32": 4.0, "8bit": 1 + 4 / 256}
"""Bytes of one number of one moment, by kind; in eight bits 256 numbers share a float32 scale."""


def optimiser_for(
    rows: Sequence[nn.Parameter], weight_decays: Sequence[float], moments: str, kind: str = "adamw"
) -> torch.optim.Optimizer:
    """One parameter group a row, whose rate is set before each step.

    A row is a tensor of its own to the optimiser: blocks of numbers that share a scale begin anew with every client, so
    that nobody's moments are rounded by a neighbour's.

    Args:
        rows: one client's adapter each, ``(size,)`` float32.
        weight_decays: of each row.
        moments: one of ``MOMENTS``.
        kind: ``adamw``, or ``sgd``, which has no moments.

    Raises:
        UserError: if eight bits are asked for and the extra is not installed.
    """
    groups: list[dict[str, Any]] = [
        {"params": [row], "weight_decay": decay} for row, decay in zip(rows, weight_decays, strict=True)
    ]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=1.0)
    if moments == "fp32":
        return torch.optim.AdamW(groups, lr=1.0, fused=True)
    eight: torch.optim.Optimizer = library().optim.AdamW8bit(groups, lr=1.0, min_8bit_size=0)
    return eight
