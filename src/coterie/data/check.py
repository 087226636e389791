"""What a person should know of their pictures before they train on them: counts, captions, skips and leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coterie.data.picture import NO_CAPTION
from coterie.data.table import Pictures, Skipped, Table

GRID = 16
NEAR = 0.05
"""Pictures closer than this are one picture, resaved, retouched or recoloured a little."""


@dataclass(frozen=True)
class Pair:
    """Two rows whose pictures are nearly the same, though one may be trained on and the other held out.

    Attributes:
        first: a row of the table.
        second: another.
        distance: see ``distances``.
        names: what a person finds the two by: client and caption of each.
    """

    first: int
    second: int
    distance: float
    names: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Checked:
    """The findings.

    Attributes:
        num_pictures: usable rows.
        per_client: usable rows by client, from the column ``client`` or ``person``; empty where there is neither.
        per_split: usable rows by the column ``split``; empty where there is none.
        held_out_per_client: rows held out by client; empty without clients or split.
        caption_words: fewest, middle and most words in a caption; zeros where there is no picture.
        repeated_captions: captions that several pictures share, with their number, most frequent first.
        skipped: rows that could not be used, with reasons.
        near_duplicates: closest first; across the split where there is one, else among all rows.
        hints: what may be done about it, a sentence each.
        per_size: usable rows by ``WIDTH x HEIGHT`` that they are cut to, most pictures first; empty of documents.
        what: the rows are: ``pictures`` or ``documents``. Of documents the captions are the documents.
    """

    num_pictures: int
    per_client: Mapping[str, int]
    per_split: Mapping[str, int]
    held_out_per_client: Mapping[str, int]
    caption_words: tuple[int, int, int]
    repeated_captions: tuple[tuple[str, int], ...]
    skipped: tuple[Skipped, ...]
    near_duplicates: tuple[Pair, ...]
    hints: tuple[str, ...] = ()
    per_size: Mapping[str, int] = field(default_factory=dict)
    what: str = "pictures"


def check(table: Table, near: float = NEAR) -> Checked:
    """Looks at every row once and at every pair that a split could part.

    Args:
        table: what a source read.
        near: distance below which two pictures count as nearly the same; see ``distances``.

    Cost: rows squared for the pairs, in blocks: 10,000 pictures take under a minute and stay below 200 MB.
    """
    split = table.columns.get("split")
    clients = clients_of(table) if "client" in table.columns or "person" in table.columns else {}
    words = sorted(len(caption.split()) for caption in table.captions) or [0]
    repeated = [(caption, count) for caption, count in Counter(table.captions).most_common() if count > 1]
    return Checked(
        len(table),
        {name: len(rows) for name, rows in clients.items()},
        dict(sorted(Counter(split or ()).items())),
        {name: sum(split[row] != "train" for row in rows) for name, rows in clients.items()} if split else {},
        (words[0], words[len(words) // 2], words[-1]),
        tuple(repeated),
        table.skipped,
        () if table.is_documents else tuple(_near(table, split, near)),
        tuple(_hints(table)),
        _per_size(table),
        "documents" if table.is_documents else "pictures",
    )


def _per_size(table: Table) -> dict[str, int]:
    found = sorted(table.by_size.items(), key=lambda size: -len(size[1]))
    return {f"{width} x {height}": len(rows) for (height, width), rows in found if height}


def clients_of(table: Table) -> dict[str, list[int]]:
    """Rows by the column ``client``, or ``person``; without either all with one client without a name."""
    values = table.columns.get("client") or table.columns.get("person") or ("",) * len(table)
    rows: dict[str, list[int]] = {name: [] for name in sorted(set(values))}
    for row, name in enumerate(values):
        rows[name].append(row)
    return rows


def distances(first: Pictures, second: Pictures) -> NDArray[np.float32]:
    """One minus the correlation of pictures reduced to 16 by 16: 0 for alike, about 1 for unrelated: ``(n, m)``.

    Correlation ignores brightness and contrast; the reduction ignores resampling, compression and single pixels.
    """
    apart: NDArray[np.float32] = (1 - _sketch(first) @ _sketch(second).T).clip(0, 2)
    return apart


def _hints(table: Table) -> list[str]:
    mute = sum(skipped.reason == NO_CAPTION for skipped in table.skipped)
    if not mute:
        return []
    return [
        f"{mute} without a caption: write NAME.txt beside each NAME.png, or give one for all with --caption (in a "
        "recipe data.source.caption)"
    ]


def _named(table: Table, row: int) -> str:
    client = (table.columns.get("client") or table.columns.get("person") or ("",) * len(table))[row]
    return f"{client}: {table.captions[row]}" if client else table.captions[row]


def _near(table: Table, split: tuple[str, ...] | None, near: float) -> list[Pair]:
    sketch = _sketch(table.pixels)
    side = np.array([value == "train" for value in split]) if split else None
    pairs = []
    for start in range(0, len(sketch), 512):
        block = (1 - sketch[start : start + 512] @ sketch.T).clip(0, 2)
        for row, second in zip(*np.nonzero(block < near), strict=True):
            first = start + int(row)
            if first < second and (side is None or side[first] != side[second]):
                names = _named(table, first), _named(table, int(second))
                pairs.append(Pair(first, int(second), float(block[row, second]), names))
    return sorted(pairs, key=lambda pair: (pair.distance, pair.first, pair.second))


def _sketch(pixels: Pictures) -> NDArray[np.float32]:
    """Each picture as a unit vector without its mean; a picture of one colour as that colour alone."""
    small = [np.asarray(Image.fromarray(p).resize((GRID, GRID), Image.Resampling.BOX)) for p in pixels]
    flat = np.array(small, dtype=np.float32).reshape(len(small), GRID * GRID * 3) / 255
    centred = flat - flat.mean(1, keepdims=True)
    plain = np.linalg.norm(centred, axis=1, keepdims=True) < 1e-3
    centred = np.where(plain, flat + 1e-3, centred)
    unit: NDArray[np.float32] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return unit.astype(np.float32)
