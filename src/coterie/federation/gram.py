"""Inner products of many effective updates at once, ``<D_i, D_j>``, without forming one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coterie.core.adapter import Adapter, LowRank

BLOCK = 1024  # rows of factors in one product: what is in memory at once is a block by all clients' rows


def gram(adapters: Sequence[Adapter]) -> NDArray[np.float64]:
    """``(n, n)`` float64, over all parts: of low-rank ones ``sum((b_i^T b_j) * (a_i a_j^T))`` times both scales.

    Args:
        adapters: of the same layers; ranks and scales may differ.
    """
    total = torch.zeros(len(adapters), len(adapters), dtype=torch.float64)
    for index, part in enumerate(adapters[0].layout.parts):
        if not isinstance(part, LowRank):
            flat = torch.stack([adapter.dense(index).double().flatten() for adapter in adapters])
            total += flat @ flat.T
            continue
        bs, rows, owners = [], [], []
        for owner, adapter in enumerate(adapters):
            theirs = adapter.layout.parts[index]
            assert isinstance(theirs, LowRank)
            b, a = adapter.factors(index)
            bs.append(theirs.scale * b.double().T)
            rows.append(a.double())
            owners += [owner] * theirs.rank
        total += _summed(torch.cat(bs), torch.cat(rows), torch.tensor(owners), len(adapters))
    return ((total + total.T) / 2).numpy()


def _summed(bs: Tensor, rows: Tensor, owners: Tensor, count: int) -> Tensor:
    """``(bs bs^T) * (rows rows^T)``, all rows of an owner summed on both sides."""
    total = torch.zeros(count, count, dtype=torch.float64)
    for begin in range(0, len(bs), BLOCK):
        some = slice(begin, begin + BLOCK)
        products = (bs[some] @ bs.T) * (rows[some] @ rows.T)
        by_owner = torch.zeros(len(products), count, dtype=torch.float64).index_add_(1, owners, products)
        total.index_add_(0, owners[some], by_owner)
    return total
