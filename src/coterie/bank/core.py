"""Training of what stands between two frozen factors: ``b = B R`` with ``R (rank, rank)`` alone trained.

LoRA-SB: Ponkshe et al., 2024, arXiv:2411.19557, as Fed-SB (arXiv:2502.15436) uses it. The bank knows rows of ``a`` and
``b``; here the optimiser holds ``R`` instead, whose gradient is ``B^T (dL / db)``, and writes ``b`` after each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.core.adapter import Adapter, LowRank


@dataclass
class Core:
    """``R`` of every layer of one slot, flat, and the bases that carry it.

    Attributes:
        places: where each layer's ``b`` begins in a row.
        bases: ``B^T (rank, out)`` of each layer.
        flat: the numbers that the optimiser holds.
    """

    places: list[int]
    bases: list[Tensor]
    flat: torch.nn.Parameter

    @classmethod
    def begin(cls, bank: Bank, row: Tensor, within: Adapter) -> Core:
        """Of a row whose ``b`` lies in the span of the bases: ``R = B^T b``."""
        template = zip(bank.template.parts, bank.template.offsets, strict=True)
        places = [offset + part.rank * part.columns for part, offset in template if isinstance(part, LowRank)]
        bases = [within.dense(index).to(bank.device) for index in range(len(places))]
        core = cls(places, bases, torch.nn.Parameter(torch.zeros(0)))
        core.flat = torch.nn.Parameter(core.seen(row))
        return core

    def seen(self, row: Tensor) -> Tensor:
        """``B^T b`` of every layer of a row ``(size,)``, or of a gradient, flat."""
        found = [
            base @ row[begin : begin + base.numel()].view_as(base).T
            for begin, base in zip(self.places, self.bases, strict=True)
        ]
        return torch.cat([r.reshape(-1) for r in found])

    def write(self, row: Tensor) -> None:
        """``b = B R`` into a row."""
        done = 0
        for begin, base in zip(self.places, self.bases, strict=True):
            rank = len(base)
            r = self.flat.data[done : done + rank * rank].view(rank, rank)
            row[begin : begin + base.numel()] = (r.T @ base).reshape(-1)
            done += rank * rank
