"""Documents as rows of tokens: one stream, cut into windows, in which every token is foretold exactly once.

Documents stand one after another, each closed by the end mark, after one start mark. Window ``i`` holds the tokens
from ``i * context`` on, and one more: the tokens that it foretells are those after its first. So windows share a token
and foretell none twice; the context of a token is what stands before it in its window, between 1 and ``context``
tokens. The last window is filled up with zeros. They stand after everything that counts, where a causal network cannot
see them, so no mask is needed and none can leak.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coterie.models.backbone import Rows


def windows(documents: Sequence[Sequence[int]], start: int, end: int, context: int) -> Rows:
    """``tokens (n, context + 1)`` and ``count (n,)`` of those that each row foretells.

    >>> windows([[5, 6, 7], [8]], start=1, end=2, context=4)["tokens"].tolist()
    [[1, 5, 6, 7, 2], [2, 8, 2, 0, 0]]
    """
    stream = [start, *(token for document in documents for token in (*document, end))]
    told = len(stream) - 1 if documents else 0
    n = -(-told // context)
    flat = torch.zeros(n * context + 1, dtype=torch.long)
    flat[: told + 1] = torch.tensor(stream[: told + 1])
    tokens = flat.unfold(0, context + 1, context).clone() if n else flat.new_zeros(0, context + 1)
    return {"tokens": tokens, "count": (told - torch.arange(n) * context).clamp(max=context)}


def drawn(prepared: Rows, batch: int, generator: torch.Generator) -> Rows:
    """One training batch; examples come round evenly. The loss of a row is the mean over what it foretells."""
    n = len(prepared["tokens"])
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(-(-batch // n))])[:batch]
    count = prepared["count"][order]
    return {"tokens": prepared["tokens"][order], "count": count, "share": 1 / count.float()}


def fixed(prepared: Rows) -> Rows:
    """Every row once; the plain mean of their losses is the mean over all tokens, though the last row has fewer."""
    count = prepared["count"]
    share = torch.full((len(count),), len(count) / max(1, int(count.sum())))
    return {**prepared, "share": share}


def losses(logits: Tensor, rows: Rows) -> Tensor:
    """Nats by row, float32 ``(n,)``: the sum over its tokens times the row's share.

    Args:
        logits: ``(n, context, vocabulary)`` of the tokens after the first ``context``.
        rows: on the same device.
    """
    target = rows["tokens"][:, 1:]
    nats = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    counts = torch.arange(target.shape[1], device=nats.device) < rows["count"][:, None]
    return torch.where(counts, nats, nats.new_zeros(())).sum(1) * rows["share"]
