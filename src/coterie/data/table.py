"""Captioned pictures or documents in memory, row by row, with the text columns that say whose and what they are.

A row always has words. In a table of pictures they say what the picture shows; in a table of documents they are all
there is, and the pictures have no pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coterie.core.size import Size

Pixels = NDArray[np.uint8]
Pictures = NDArray[Any]
"""Pictures of one shape, ``(n, height, width, 3)``, or an array ``(n,)`` of pictures that each have their own."""


BLANK = (0, 0, 3)
"""The shape of a document's picture."""


@dataclass(frozen=True)
class Skipped:
    """A row that could not be used, by the name a person can find it by, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Table:
    """Pictures with their captions, or documents, in the order of their source.

    Attributes:
        pixels: 0 to 255, red green blue: ``(n, side, side, 3)``, or ``(n,)`` pictures where they were not cut square;
            of documents ``(n, 0, 0, 3)``.
        captions: one for each picture, or the documents; never empty.
        columns: further text by name, one value for each picture; an absent value is the empty string.
        skipped: rows of the source that are not in this table.
    """

    pixels: Pictures
    captions: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.captions), *(len(values) for values in self.columns.values())}
        shapes = {picture.shape[2:] for picture in self.pixels} if self.pixels.ndim == 1 else {self.pixels.shape[3:]}
        if not shapes <= {(3,)} or lengths != {len(self.pixels)}:
            raise ValueError(f"{self.pixels.shape} pixels do not go with columns of {sorted(lengths)} rows")

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def is_documents(self) -> bool:
        """Whether the words of a row are the example itself."""
        return self.pixels.shape[1:] == BLANK

    @property
    def by_size(self) -> dict[Size, list[int]]:
        """Rows by height and width of their pictures, in order of rows."""
        rows: dict[Size, list[int]] = {}
        for row, picture in enumerate(self.pixels):
            rows.setdefault((picture.shape[0], picture.shape[1]), []).append(row)
        return rows

    def take(self, indices: Sequence[int]) -> Table:
        """The rows at ``indices``, in that order; what the source skipped is not carried along."""
        rows = [int(i) for i in indices]
        return Table(
            self.pixels[np.array(rows, dtype=np.intp)],
            tuple(self.captions[i] for i in rows),
            {name: tuple(values[i] for i in rows) for name, values in self.columns.items()},
        )


def documents(texts: Sequence[str], columns: Mapping[str, tuple[str, ...]], skipped: tuple[Skipped, ...] = ()) -> Table:
    """A table of documents; the column ``document`` names the whole that a row is a piece of, where there is one."""
    return Table(np.zeros((len(texts), *BLANK), np.uint8), tuple(texts), columns, skipped)


def join(tables: Iterable[Table]) -> Table:
    """One table below another; columns that some of them lack are left out.

    Raises:
        ValueError: if there is no table at all.
    """
    parts = list(tables)
    shared = [name for name in parts[0].columns if all(name in part.columns for part in parts)] if parts else []
    return Table(
        joined([part.pixels for part in parts]),
        tuple(caption for part in parts for caption in part.captions),
        {name: tuple(value for part in parts for value in part.columns[name]) for name in shared},
    )


def collected(pictures: Sequence[Pixels], side: int) -> Pictures:
    """Pictures as one array; ``side`` is that of no picture at all."""
    if len({picture.shape for picture in pictures}) < 2:
        return np.stack(pictures) if pictures else np.zeros((0, side, side, 3), np.uint8)
    out = np.empty(len(pictures), object)
    for row, picture in enumerate(pictures):  # one by one: numpy would try to lay the numbers of all into the array
        out[row] = picture
    return out


def joined(parts: Sequence[Pictures]) -> Pictures:
    """Arrays of pictures one after another.

    Raises:
        ValueError: if there is none.
    """
    some = [part for part in parts if len(part)] or list(parts[:1])
    if len({part.shape[1:] for part in some}) < 2:
        return np.concatenate(some)
    return collected([picture for part in some for picture in part], 0)


def distinct(table: Table, names: Sequence[str]) -> Table:
    """The first row of each combination of the named columns; a column that is not there counts as the caption."""
    keys = zip(*(table.columns.get(name, table.captions) for name in names), strict=True)
    first: dict[tuple[str, ...], int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    return table.take(list(first.values()))
