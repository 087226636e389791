"""Adapters as values: one flat row of numbers and a layout that names its parts.

The same row is a row of the bank, the tensor on the wire and the tensor of a checkpoint. A part is either low-rank
(Hu et al., LoRA, arXiv:2106.09685: effective update ``scale * b @ a``) or dense. A layout belongs to one backbone, by
digest, and two adapters can only be added when their layouts are the same.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from coterie.core.errors import UserError


@dataclass(frozen=True)
class LowRank:
    """Factors of one layer: ``a (rank, columns)`` and ``b (out, rank)``, in the row as ``a`` then ``b`` transposed.

    Attributes:
        name: the layer's dotted name in the backbone.
        out: rows of the layer's weight (output features or channels).
        columns: its other numbers a row: input features, or input channels x kernel height x kernel width.
        rank: of the factors.
        scale: what the product is multiplied with, ``alpha / rank``.
        kernel: height and width of a convolution's kernel; empty for a linear layer.
        transposed: whether the layer keeps its weight as ``(columns, out)``, as GPT-2 does. The factors are the same,
            so layouts that differ in it alone are equal.
    """

    name: str
    out: int
    columns: int
    rank: int
    scale: float = 1.0
    kernel: tuple[int, ...] = ()
    transposed: bool = field(default=False, compare=False)

    @property
    def size(self) -> int:
        return self.rank * (self.out + self.columns)


@dataclass(frozen=True)
class Dense:
    """A part trained as it is (a bias, a norm, an embedding row): the row holds the change, in row-major order."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


Part = LowRank | Dense


@dataclass(frozen=True)
class Layout:
    """What the numbers of a row mean.

    Attributes:
        backbone: digest of the frozen model that the adapter belongs to.
        parts: in the order of the row.
    """

    backbone: str
    parts: tuple[Part, ...]

    @functools.cached_property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @functools.cached_property
    def offsets(self) -> tuple[int, ...]:
        ends = [0]
        for part in self.parts:
            ends.append(ends[-1] + part.size)
        return tuple(ends[:-1])

    @functools.cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this layout."""
        plain = self.as_plain()
        for part in plain["parts"]:
            part.pop("transposed", None)  # equal layouts have one name
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]

    def as_plain(self) -> dict[str, Any]:
        """Plain values, for a header or a file."""
        parts = [{"kind": type(part).__name__, **asdict(part)} for part in self.parts]
        for part in parts:
            if not part.get("transposed"):
                part.pop("transposed", None)
        return {"backbone": self.backbone, "parts": parts}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Layout:
        """The inverse of ``as_plain``.

        Raises:
            UserError: if a part is of no known kind or lacks a field.
        """
        try:
            return cls(str(plain["backbone"]), tuple(_part(dict(part)) for part in plain["parts"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"an adapter's layout cannot be read: {error}") from error

    def zeros(self) -> Adapter:
        return Adapter(self, torch.zeros(self.size))

    def start(self, seed: int) -> Adapter:
        """The common start of everybody: ``a`` normal with deviation ``1 / rank``, ``b`` and dense parts zero.

        All clients must begin from the same ``a``, otherwise averaging factors means nothing.
        """
        generator = torch.Generator().manual_seed(seed)
        row = torch.zeros(self.size)
        for part, offset in zip(self.parts, self.offsets, strict=True):
            if isinstance(part, LowRank):
                n = part.rank * part.columns
                row[offset : offset + n] = torch.randn(n, generator=generator) / part.rank
        return Adapter(self, row)

    def with_rank(self, rank: int) -> Layout:
        """The same layers at another rank; the scale stays, so the same factors mean the same update."""
        return self.with_ranks([rank] * len(self.parts))

    def with_ranks(self, ranks: Sequence[int]) -> Layout:
        """The same layers, each low-rank one at a rank of its own, in their order; the scales stay."""
        rest = iter(ranks)
        parts = tuple(replace(p, rank=next(rest)) if isinstance(p, LowRank) else p for p in self.parts)
        return Layout(self.backbone, parts)

    def with_rank_of(self, other: Layout) -> Layout:
        """The same layers at the ranks and scales of another layout's layers of these names."""
        theirs = {part.name: part for part in other.parts}
        parts = tuple(
            replace(part, rank=like.rank, scale=like.scale)
            if isinstance(part, LowRank) and isinstance(like := theirs.get(part.name), LowRank)
            else part
            for part in self.parts
        )
        return Layout(self.backbone, parts)


@dataclass(frozen=True)
class Adapter:
    """One person's or one group's change to the backbone.

    ``row`` is float32 of shape ``(layout.size,)`` on the CPU. Treat it as read-only.
    """

    layout: Layout
    row: Tensor

    def __post_init__(self) -> None:
        if self.row.shape != (self.layout.size,):
            raise UserError(f"an adapter of {self.layout.size} numbers was given {tuple(self.row.shape)}")

    def factors(self, index: int) -> tuple[Tensor, Tensor]:
        """Views ``b (out, rank)`` and ``a (rank, columns)`` of a low-rank part; the scale is not in them."""
        part, offset = self.layout.parts[index], self.layout.offsets[index]
        if not isinstance(part, LowRank):
            raise TypeError(f"{part.name} is not low-rank")
        middle = offset + part.rank * part.columns
        a = self.row[offset:middle].view(part.rank, part.columns)
        b = self.row[middle : offset + part.size].view(part.rank, part.out).T
        return b, a

    def dense(self, index: int) -> Tensor:
        """View of a dense part in its own shape."""
        part, offset = self.layout.parts[index], self.layout.offsets[index]
        if not isinstance(part, Dense):
            raise TypeError(f"{part.name} is not dense")
        return self.row[offset : offset + part.size].view(part.shape)

    @functools.cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits of the layout and the numbers."""
        numbers = self.row.numpy().tobytes()
        return hashlib.sha256(self.layout.digest.encode() + numbers).hexdigest()[:12]


def build(layout: Layout, pieces: Sequence[tuple[Tensor, Tensor] | Tensor]) -> Adapter:
    """An adapter from ``(b, a)`` for each low-rank part and a tensor for each dense one, in the layout's order."""
    rows = []
    for part, piece in zip(layout.parts, pieces, strict=True):
        if isinstance(part, LowRank):
            b, a = piece
            rows += [a.reshape(-1), b.T.reshape(-1)]
        else:
            assert isinstance(piece, Tensor)
            rows.append(piece.reshape(-1))
    return Adapter(layout, torch.cat([row.float() for row in rows]) if rows else torch.zeros(0))


def weighted_sum(adapters: Sequence[Adapter], weights: Sequence[float]) -> Adapter:
    """``sum_k weights[k] * adapters[k]`` over whole rows, in the given order, summed in float64.

    On factors this is the factor average of FedAvg with LoRA, not the average of the products.

    Raises:
        UserError: if the layouts differ.
    """
    first = adapters[0].layout
    total = torch.zeros(first.size, dtype=torch.float64)
    for adapter, weight in zip(adapters, weights, strict=True):
        require_same_layout(first, adapter.layout, "; use the aggregator product_svd")
        total += weight * adapter.row.double()
    return Adapter(first, total.float())


def side_by_side(one: Adapter, other: Adapter) -> Adapter:
    """One adapter that does what two do together: ``scale b a`` is the sum of theirs, its rank the sum of the ranks.

    Factors stand beside each other under the first one's scale; dense parts add up.

    Raises:
        UserError: if the two have other backbones or layers.
    """
    pieces: list[tuple[Tensor, Tensor] | Tensor] = []
    layout = together(one.layout, other.layout)
    for index, (mine, theirs) in enumerate(zip(one.layout.parts, other.layout.parts, strict=True)):
        if isinstance(mine, Dense):
            pieces.append(one.dense(index) + other.dense(index))
            continue
        assert isinstance(theirs, LowRank)
        (b1, a1), (b2, a2) = one.factors(index), other.factors(index)
        pieces.append((torch.cat([b1, b2 * (theirs.scale / mine.scale)], 1), torch.cat([a1, a2])))
    return build(layout, pieces)


def apart(whole: Adapter, one: Layout) -> tuple[Adapter, Adapter]:
    """The inverse of ``side_by_side`` for a first adapter of a known layout; the second has the first one's scales."""
    firsts: list[tuple[Tensor, Tensor] | Tensor] = []
    seconds: list[tuple[Tensor, Tensor] | Tensor] = []
    others: list[Part] = []
    for index, (part, mine) in enumerate(zip(whole.layout.parts, one.parts, strict=True)):
        if isinstance(part, Dense) or isinstance(mine, Dense):
            firsts.append(whole.dense(index))
            seconds.append(torch.zeros_like(whole.dense(index)))
            others.append(part)
            continue
        b, a = whole.factors(index)
        firsts.append((b[:, : mine.rank], a[: mine.rank]))
        seconds.append((b[:, mine.rank :], a[mine.rank :]))
        others.append(replace(mine, rank=part.rank - mine.rank))
    return build(one, firsts), build(Layout(one.backbone, tuple(others)), seconds)


def together(one: Layout, other: Layout) -> Layout:
    """The layout of two adapters side by side.

    Raises:
        UserError: if the two have other backbones or layers.
    """
    require_same_layout(one, other.with_rank_of(one))
    parts = tuple(
        replace(mine, rank=mine.rank + theirs.rank)
        if isinstance(mine, LowRank) and isinstance(theirs, LowRank)
        else mine
        for mine, theirs in zip(one.parts, other.parts, strict=True)
    )
    return Layout(one.backbone, parts)


def crossed(a_of: Adapter, b_of: Adapter) -> Adapter:
    """The factors ``a`` of one adapter and all the rest (``b``, dense parts) of another of the same layout."""
    require_same_layout(a_of.layout, b_of.layout)
    row = b_of.row.clone()
    for part, offset in zip(a_of.layout.parts, a_of.layout.offsets, strict=True):
        if isinstance(part, LowRank):
            end = offset + part.rank * part.columns
            row[offset:end] = a_of.row[offset:end]
    return Adapter(a_of.layout, row)


def require_same_layout(wanted: Layout, found: Layout, help: str = "") -> None:
    """Raises ``UserError`` saying in what two layouts differ, the backbone, the layers or a rank, and what may help."""
    if wanted == found:
        return
    if wanted.backbone != found.backbone:
        raise UserError(
            f"the adapter belongs to another backbone: its digest is {found.backbone}, wanted {wanted.backbone}"
        )
    for mine, other in zip(wanted.parts, found.parts, strict=False):
        if mine != other:
            raise UserError(f"adapters differ at {mine.name}: wanted {_words(mine)}, found {_words(other)}{help}")
    raise UserError(f"adapters differ: {len(wanted.parts)} parts against {len(found.parts)}")


def _words(part: Part) -> str:
    if isinstance(part, LowRank):
        return f"rank {part.rank} and alpha {part.scale * part.rank:g} on {part.out} x {part.columns}"
    return f"{part.size} numbers"


def _part(plain: dict[str, Any]) -> Part:
    kind = plain.pop("kind")
    if kind == "LowRank":
        return LowRank(**{**plain, "kernel": tuple(plain["kernel"])})
    if kind == "Dense":
        return Dense(plain["name"], tuple(plain["shape"]))
    raise ValueError(f"no part of kind {kind!r}")
