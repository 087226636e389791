"""Effective updates ``scale b a`` added up and written as factors again, without forming the dense product.

On stacked factors as in FLoRIST, arXiv:2506.09199: a QR of each stack and one small SVD between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from coterie.core.adapter import Adapter, Dense, LowRank, Part, build
from coterie.core.errors import UserError

Product = tuple[Tensor, Tensor] | Tensor
"""What a rule made of one part: an effective update as stacked factors ``(out, R)`` and ``(R, columns)``, float64; of a
dense part its numbers."""


def mean_of_products(adapters: Sequence[Adapter], weights: Sequence[float], like: Adapter) -> tuple[Adapter, float]:
    """``sum_k w_k scale_k b_k a_k`` for every part, at the ranks and scales of ``like``.

    Args:
        adapters: of one backbone and the same layers; ranks and scales may differ.
        weights: may be negative, as in mixing.
        like: its layout is the result's; its ``a`` fills directions that carry nothing yet.

    Returns:
        The adapter, and the share of the energy (squared singular values, all parts together) beyond its rank.

    Raises:
        UserError: if a layer is missing or of another shape.
    """

    def product(index: int, part: Part) -> Product:
        for adapter in adapters:
            require_same_layer(part, adapter, index)
        if isinstance(part, Dense):
            dense = (w * x.dense(index).double() for w, x in zip(weights, adapters, strict=True))
            return sum(dense, torch.tensor(0.0))
        bs, rows = [], []
        for weight, adapter in zip(weights, adapters, strict=True):
            b, a = adapter.factors(index)
            theirs = adapter.layout.parts[index]
            assert isinstance(theirs, LowRank)
            bs.append(weight * theirs.scale * b.double())
            rows.append(a.double())
        return torch.cat(bs, 1), torch.cat(rows, 0)

    return at_rank(like, product)


def at_rank(like: Adapter, product: Callable[[int, Part], Product]) -> tuple[Adapter, float]:
    """The closest adapter to what a rule made of every part, at the ranks and scales of ``like``.

    Args:
        like: its layout is the result's; its ``a`` fills directions that carry nothing yet.
        product: called with the number of each part and the part.

    Returns:
        The adapter, and the share of the energy (squared singular values, all parts together) beyond its rank.
    """
    pieces: list[Product] = []
    kept = lost = 0.0
    for index, part in enumerate(like.layout.parts):
        made = product(index, part)
        if isinstance(made, Tensor):
            pieces.append(made)
            continue
        assert isinstance(part, LowRank)
        b, a, tail, energy = refactor(*made, part.rank, like.factors(index)[1].double())
        pieces.append((b / part.scale, a))
        kept, lost = kept + energy - tail, lost + tail
    return build(like.layout, pieces), lost / (kept + lost) if kept + lost > 0 else 0.0


def cut(adapter: Adapter, rank: int) -> Adapter:
    """The closest adapter of a rank, by SVD of every low-rank part; one that has no higher rank as it is.

    Directions that carry nothing yet keep the first rows of ``a``.
    """
    parts = adapter.layout.parts
    if all(part.rank <= rank for part in parts if isinstance(part, LowRank)):
        return adapter
    like: list[tuple[Tensor, Tensor] | Tensor] = []
    for index, part in enumerate(parts):
        if isinstance(part, LowRank):
            b, a = adapter.factors(index)
            like.append((torch.zeros_like(b[:, :rank]), a[:rank]))
        else:
            like.append(adapter.dense(index))
    return mean_of_products([adapter], [1.0], build(adapter.layout.with_rank(rank), like))[0]


def refactor(bs: Tensor, rows: Tensor, rank: int, old_a: Tensor) -> tuple[Tensor, Tensor, float, float]:
    """Closest factors of a given rank to ``bs @ rows``, by QR of the stacks and one small SVD.

    Args:
        bs: weighted, scaled factors side by side, ``(out, R)`` float64.
        rows: factors below each other, ``(R, columns)`` float64.
        rank: of the result.
        old_a: ``(rank, columns)``; where the update carries nothing, ``b`` is zero and ``a`` keeps these directions,
            because two zero factors would never receive a gradient again.

    Returns:
        ``(b, a, tail, energy)``: each factor carries the root of the singular values; ``tail`` is the squared error
        and ``energy`` the squared norm of the product.
    """
    qb, rb = torch.linalg.qr(bs)
    qa, ra = torch.linalg.qr(rows.T)
    u, s, vt = torch.linalg.svd(rb @ ra.T, full_matrices=False)
    energy = float(s.square().sum())
    alive = int((s > s[0] * max(bs.shape[0], rows.shape[1]) * torch.finfo(s.dtype).eps).sum()) if energy > 0 else 0
    p = min(rank, alive)
    b, a = qb @ u[:, :p], vt[:p] @ qa.T
    sign = torch.sign(b.gather(0, b.abs().argmax(0, keepdim=True))) if p else b[:1]  # fixed, so that runs repeat
    root = s[:p].sqrt()
    b, a = b * sign * root, a * sign.T * root[:, None]
    if p < rank:
        b = torch.cat([b, b.new_zeros(b.shape[0], rank - p)], 1)
        a = torch.cat([a, _fresh_rows(a, old_a, rank - p)])
    return b, a, float(s[p:].square().sum()), energy


def _fresh_rows(a: Tensor, old_a: Tensor, count: int) -> Tensor:
    """``count`` rows of the old factor made orthogonal to ``a``, at the old factor's mean length."""
    length = float(old_a.norm(dim=1).mean()) or 1.0 / math.sqrt(old_a.shape[1])
    rest = old_a
    if len(a):
        basis, _ = torch.linalg.qr(a.T)
        rest = old_a - (old_a @ basis) @ basis.T
    _u, _s, vt = torch.linalg.svd(rest, full_matrices=False)
    if len(a) == 0:
        return old_a[:count]
    fresh = vt[:count]
    if len(fresh) < count:  # fewer columns than rank: no direction is left
        fresh = torch.cat([fresh, fresh.new_zeros(count - len(fresh), fresh.shape[1])])
    filled: Tensor = fresh * length
    return filled


def require_same_layer(part: LowRank | Dense, adapter: Adapter, index: int) -> None:
    """Raises ``UserError`` if an adapter has another layer at a place than a part says; ranks may differ."""
    parts = adapter.layout.parts
    other = parts[index] if index < len(parts) else None
    if isinstance(part, LowRank) and isinstance(other, LowRank):
        if (part.name, part.out, part.columns) == (other.name, other.out, other.columns):
            return
    elif part == other:
        return
    raise UserError(f"adapters cannot be averaged: {part.name} is {part}, another adapter has {other}")
