"""From the bytes of a picture file to square pixels, and from a source's rows to a table that names its bad rows."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from coterie.data.table import Pixels, Skipped, Table


@dataclass(frozen=True)
class Row:
    """What a source found for one picture, before anything is checked.

    Attributes:
        name: what a person can find the row by: a file name or ``row 17``.
        image: the bytes of the picture file, or None where the source has none.
        caption: its text, or None where the source has none.
        columns: further text by name.
    """

    name: str
    image: bytes | None
    caption: str | None
    columns: Mapping[str, str]


class Unreadable(Exception):
    """These bytes are no picture that can be used; the message says why."""


def decode(image: bytes, side: int) -> Pixels:
    """The picture upright, on white where it is see-through, cut square at its centre: ``(side, side, 3)``.

    Raises:
        Unreadable: if the bytes are no picture, are cut short, or would unpack to a huge one.
    """
    try:
        with warnings.catch_warnings():
            # A few kilobytes can unpack to gigabytes: Pillow only warns of that, and here it is a reason to skip.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image)) as opened:
                upright = ImageOps.exif_transpose(opened)
        return np.asarray(_square(_on_white(upright), side), dtype=np.uint8)
    except UnidentifiedImageError:
        raise Unreadable("not a picture that can be read") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable("too many pixels") from None
    except Exception as err:  # decoders of two dozen formats raise anything from SyntaxError to struct.error
        raise Unreadable(f"damaged: {str(err).splitlines()[0] if str(err) else type(err).__name__}") from err


def gather(rows: Iterable[Row], side: int) -> Table:
    """All usable rows as a table, which may be empty; the others by name and reason in ``skipped``."""
    pixels: list[Pixels] = []
    kept: list[tuple[str, Mapping[str, str]]] = []
    skipped = []
    for row in rows:
        caption = " ".join((row.caption or "").split())
        try:
            if not row.image:
                raise Unreadable("no picture")
            if not caption:
                raise Unreadable("no caption")
            pixels.append(decode(row.image, side))
            kept.append((caption, row.columns))
        except Unreadable as reason:
            skipped.append(Skipped(row.name, str(reason)))
    names = dict.fromkeys(name for _, columns in kept for name in columns)
    return Table(
        np.stack(pixels) if pixels else np.zeros((0, side, side, 3), np.uint8),
        tuple(caption for caption, _ in kept),
        {name: tuple(columns.get(name, "") for _, columns in kept) for name in names},
        tuple(skipped),
    )


def texts(row: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, str]:
    """A row's values as text: labels by name, an absent value empty; lists, structs and bytes are left out."""
    from datasets import ClassLabel, Value

    found = {}
    for name, value in row.items():
        feature = features[name]
        if isinstance(feature, ClassLabel):
            found[name] = "" if value is None else str(feature.int2str(value))
        elif isinstance(feature, Value) and not isinstance(value, bytes):
            found[name] = "" if value is None else str(value)
    return found


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode in {"I", "I;16", "I;16B", "F"}:
        # Sixteen-bit grey would be clipped to white by a plain conversion.
        values = np.asarray(picture, dtype=np.float64)
        scale = 255 / 65535 if picture.mode != "F" and values.max(initial=0) > 255 else 1.0
        picture = Image.fromarray((values * scale).clip(0, 255).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    clear = picture.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


def _square(picture: Image.Image, side: int) -> Image.Image:
    width, height = picture.size
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    box = (left, top, left + short, top + short)
    return picture.resize((side, side), Image.Resampling.LANCZOS, box=box)
