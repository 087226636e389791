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


def preceded(rows: Rows, words: Tensor) -> Rows:
    """The same windows with tokens ``(k,)`` before each, which are read and not foretold.

    >>> rows = windows([[5, 6, 7]], start=1, end=2, context=4)
    >>> preceded(rows, torch.tensor([9, 9]))["tokens"].tolist()
    [[9, 9, 1, 5, 6, 7, 2]]
    """
    n = len(rows["tokens"])
    tokens = torch.cat([words.expand(n, -1), rows["tokens"]], 1)
    return {**rows, "tokens": tokens, "before": torch.full((n,), len(words))}


def last_of(rows: Rows, wanted: int) -> Tensor:
    """The last tokens of what windows foretell, at most so many, ``(k,)``."""
    told = [row[1 : 1 + count] for row, count in zip(rows["tokens"], rows["count"].tolist(), strict=True)]
    stream = torch.cat(told) if told else torch.zeros(0, dtype=torch.long)
    return stream[len(stream) - min(wanted, len(stream)) :]


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
        logits: ``(n, context, vocabulary)``, what is foretold after each of a row's tokens but its last.
        rows: on the same device.
    """
    target = rows["tokens"][:, 1:]
    begin = rows["before"][:, None] if "before" in rows else 0
    nats = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    place = torch.arange(target.shape[1], device=nats.device)
    counts = (place >= begin) & (place < begin + rows["count"][:, None])
    return torch.where(counts, nats, nats.new_zeros(())).sum(1) * rows["share"]
