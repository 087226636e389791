"""Captioned pictures in memory, row by row, with the text columns that say whose and what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Skipped:
    """A row that could not be used, by the name a person can find it by, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Table:
    """Pictures with their captions, in the order of their source.

    Attributes:
        pixels: ``(n, side, side, 3)``, 0 to 255, red green blue.
        captions: one for each picture, never empty.
        columns: further text by name, one value for each picture; an absent value is the empty string.
        skipped: rows of the source that are not in this table.
    """

    pixels: Pixels
    captions: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.captions), *(len(values) for values in self.columns.values())}
        if self.pixels.ndim != 4 or self.pixels.shape[3] != 3 or lengths != {len(self.pixels)}:
            raise ValueError(f"{self.pixels.shape} pixels do not go with columns of {sorted(lengths)} rows")

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, indices: Sequence[int]) -> Table:
        """The rows at ``indices``, in that order; what the source skipped is not carried along."""
        rows = [int(i) for i in indices]
        return Table(
            self.pixels[np.array(rows, dtype=np.intp)],
            tuple(self.captions[i] for i in rows),
            {name: tuple(values[i] for i in rows) for name, values in self.columns.items()},
        )


def join(tables: Iterable[Table]) -> Table:
    """One table below another; columns that some of them lack are left out.

    Raises:
        ValueError: if there is no table at all, or their pictures differ in size.
    """
    parts = list(tables)
    shared = [name for name in parts[0].columns if all(name in part.columns for part in parts)] if parts else []
    return Table(
        np.concatenate([part.pixels for part in parts]),
        tuple(caption for part in parts for caption in part.captions),
        {name: tuple(value for part in parts for value in part.columns[name]) for name in shared},
    )


def distinct(table: Table, names: Sequence[str]) -> Table:
    """The first row of each combination of the named columns; a column that is not there counts as the caption."""
    keys = zip(*(table.columns.get(name, table.captions) for name in names), strict=True)
    first: dict[tuple[str, ...], int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    return table.take(list(first.values()))
