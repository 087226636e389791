"""Public drawings of one object each: read from parquet, split by codepoint, captioned by name.

A file holds the columns ``image`` (bytes), ``codepoint``, ``name``, ``group`` and ``tags``: what the icon sets noto,
twemoji and emojione2 look like once rendered at 64 pixels (see the model card for the exact packages).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from coterie.core.errors import UserError

SIDE = 64
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sprite:
    """One drawing: ``rgba (64, 64, 4)`` with the white around the object made transparent."""

    rgba: Pixels
    codepoint: str
    name: str
    group: str
    tags: tuple[str, ...]


def is_held_out(codepoint: str) -> bool:
    """Whether a subject is kept for validation: one in ten, by a digest of its codepoint, in every set alike."""
    return hashlib.sha256(codepoint.encode()).digest()[0] % 10 == 0


def read_sprites(paths: list[Path]) -> list[Sprite]:
    """All drawings of the given parquet files, in file and row order.

    Raises:
        UserError: if a file is missing, is no parquet file, lacks a column, or holds something that is no picture.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sprites = []
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file; wanted a parquet file of drawings")
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: not a parquet file that can be read; wanted one of drawings") from error
        missing = {"image", "codepoint", "name", "group", "tags"} - set(table.column_names)
        if missing:
            raise UserError(f"{path}: column {sorted(missing)[0]!r} is missing; it has {', '.join(table.column_names)}")
        for i, row in enumerate(table.to_pylist()):
            try:
                picture = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
            except (OSError, TypeError) as error:
                raise UserError(f"{path}: row {i}: column 'image' holds no picture that can be read") from error
            rgb = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.uint8)
            rgba = np.dstack([rgb, _alpha(rgb)])
            sprites.append(Sprite(rgba, row["codepoint"], row["name"], row["group"], tuple(row["tags"] or ())))
    return sprites


def _alpha(rgb: Pixels) -> Pixels:
    """Opacity: the near-white region that touches the border is see-through, its rim half so."""
    white = rgb.min(-1) >= 244
    labels, _ = ndimage.label(white)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    outside = np.isin(labels, border[border > 0])
    rim = ndimage.binary_dilation(outside) & ~outside & (rgb.min(-1) > 120)
    return np.where(outside, 0, np.where(rim, 128, 255)).astype(np.uint8)
