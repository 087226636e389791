"""From the bytes of a picture file to pixels, and from a source's rows to a table that names its bad rows."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from coterie.core.errors import UserError
from coterie.data.buckets import Cut, size_for, square_of
from coterie.data.table import Pictures, Pixels, Skipped, Table, collected

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF", "JPEG2000", "TGA", "ICO")
"""What is opened. Pillow knows more, and some of it runs other programs on the file, as PostScript does."""

MOST_PIXELS = 64_000_000
PIXELS_PER_BYTE = 3000
"""A file that claims more pixels than these, and more than a million, is a blank page or a trap for the memory."""

NO_CAPTION = "no caption"
UNKNOWN = "not a picture that can be read"
HEIC = "HEIC; save it as JPEG or PNG, or let it be read: pip install pillow-heif"
AVIF = "AVIF, which Pillow reads from 11.3 on: pip install -U pillow, or save it as JPEG or PNG"


@dataclass(frozen=True)
class Row:
    """What a source found for one picture, before anything is checked.

    Attributes:
        name: what a person can find the row by: a file name or ``row 17``.
        image: the bytes of the picture file, or None where the source has none.
        caption: its text, or None where the source has none.
        columns: further text by name.
        problem: why the row cannot be used, where the source knows already.
    """

    name: str
    image: bytes | None
    caption: str | None
    columns: Mapping[str, str]
    problem: str = ""


class Unreadable(Exception):
    """These bytes are no picture that can be used; the message says why."""


def endings() -> frozenset[str]:
    """Endings of picture files, with dots, in lower case.

    HEIC and AVIF are among them where they cannot be read too, so that they are named when they are skipped.
    """
    _init()
    known = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS and kind in Image.OPEN}
    return frozenset(known | {".heic", ".heif", ".hif", ".avif"})


def decode(image: bytes, cut: Cut) -> Pixels:
    """The picture upright, on white where it is see-through, cut at its centre: ``(height, width, 3)``.

    That is the square of a side, or the nearest of the buckets; no picture is squashed. Of a moving picture this is the
    first frame. Sixteen bits are scaled to eight.

    Raises:
        Unreadable: if the bytes are no picture, are cut short, or would unpack to a huge one.
    """
    _init()
    try:
        with warnings.catch_warnings():
            # A few kilobytes can unpack to gigabytes: Pillow only warns of that, and here it is a reason to skip.
            # Its other warnings are of damaged side matter, like a camera's notes, that no picture needs.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image), formats=[name for name in FORMATS if name in Image.OPEN]) as opened:
                _require_modest(opened, len(image))
                opened.load()
                _turn(opened)
                return _fitted(_on_white(opened), cut)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(_unknown(image)) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable("too many pixels") from None
    except Exception as err:  # decoders of a dozen formats raise anything from SyntaxError to struct.error
        raise Unreadable(f"damaged: {str(err).splitlines()[0] if str(err).strip() else type(err).__name__}") from err


def gather(rows: Iterable[Row], cut: Cut, caption: str = "") -> Table:
    """All usable rows as a table, which may be empty; the others by name and reason in ``skipped``.

    A client (column ``client`` or ``person``) of whom nothing is usable is in ``skipped`` too.

    Args:
        rows: what a source found.
        cut: side of the squares in pixels, or buckets.
        caption: for pictures that have none; empty skips them.
    """
    pixels: list[Pixels] = []
    kept: list[tuple[str, Mapping[str, str]]] = []
    skipped: list[Skipped] = []
    lost: dict[tuple[str, str], None] = {}
    for row in rows:
        text = _one_line(row.caption or "") or _one_line(caption)
        try:
            if row.problem:
                raise Unreadable(row.problem)
            if row.image is None:
                raise Unreadable("no picture")
            if not row.image:
                raise Unreadable("an empty file")
            picture = decode(row.image, cut)  # before the caption is asked for: without one, a HEIC file is still named
            if not text:
                raise Unreadable(NO_CAPTION)
            pixels.append(picture)
            kept.append((text, row.columns))
        except Unreadable as reason:
            skipped.append(Skipped(row.name, str(reason)))
            lost |= {(name, row.columns[name]): None for name in ("client", "person") if row.columns.get(name)}
    for name, value in lost:
        if all(columns.get(name) != value for _, columns in kept):
            skipped.append(Skipped(value, f"a {name} without a usable picture"))
    names = dict.fromkeys(name for _, columns in kept for name in columns)
    return Table(
        collected(pixels, square_of(cut)),
        tuple(text for text, _ in kept),
        {name: tuple(columns.get(name, "") for _, columns in kept) for name in names},
        tuple(skipped),
    )


def require_some(table: Table, where: str) -> Table:
    """The table, if it has a row.

    Raises:
        UserError: with the first reason, and how to add captions where that is what is missing.
    """
    if len(table):
        return table
    first = f": {table.skipped[0].name}: {table.skipped[0].reason}" if table.skipped else ""
    help = "; give one for all: caption = 'a drawing'" if first.endswith(NO_CAPTION) else ""
    raise UserError(f"{where}: none of its {len(table.skipped)} rows can be used{first}{help}")


@functools.cache
def _init() -> None:
    """Makes Pillow load its readers of formats, and the one of HEIC where its package is installed."""
    Image.init()
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def _unknown(image: bytes) -> str:
    """What is said of a file that no reader knows; phones write formats that need a package of their own."""
    brands = set()
    if image[4:8] == b"ftyp":  # the box that HEIC, AVIF and films begin with
        end = min(int.from_bytes(image[:4]), 256)
        brands = {image[8:12], *(image[start : start + 4] for start in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return AVIF
    return HEIC if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"mif1", b"msf1"} else UNKNOWN


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _require_modest(opened: Image.Image, num_bytes: int) -> None:
    """Before anything is unpacked: memory is for what was received, not for what a header claims."""
    claimed = opened.width * opened.height
    if claimed > MOST_PIXELS:
        raise Unreadable(f"too many pixels: {opened.width} x {opened.height}")
    if claimed > max(1_000_000, PIXELS_PER_BYTE * num_bytes):
        raise Unreadable(f"too many pixels for its {num_bytes} bytes: {opened.width} x {opened.height}")


def _turn(opened: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(opened, in_place=True)
    except Exception:  # a camera's notes that cannot be read: the picture stays as it lies
        return


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(_eight_bits(np.asarray(picture), picture.mode))
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    clear = picture.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


def _eight_bits(values: NDArray[Any], mode: str) -> Pixels:
    """Deep grey as eight bits, where a plain conversion would clip it to white.

    Sixteen bits are scaled by their range. 32 bits and fractions do not say theirs: it is taken to be the smallest of
    1 (fractions only), 255, 65,535 and their own largest value that holds them.
    """
    if mode.startswith("I;16"):
        top = 65535.0
    else:
        largest = float(np.nanmax(values, initial=0))
        ranges = [1.0, 255.0, 65535.0] if mode == "F" else [255.0, 65535.0]
        top = next((wide for wide in ranges if largest <= wide), largest)
    scaled: Pixels = np.nan_to_num(values * np.float32(255 / top)).clip(0, 255).astype(np.uint8)
    return scaled


def squares(pictures: Pictures, side: int) -> Pixels:
    """Pictures of any shapes cut square at their centres: ``(n, side, side, 3)``."""
    if pictures.shape[1:] == (side, side, 3):
        return pictures
    out: Pixels = collected([_fitted(Image.fromarray(picture), side) for picture in pictures], side)
    return out


def _fitted(picture: Image.Image, cut: Cut) -> Pixels:
    """The largest part of a picture, around its centre, that has the wanted shape, resampled to the wanted size."""
    width, height = picture.size
    high, wide = size_for(cut, height, width)
    if high == wide:  # in whole pixels, as squares always were
        short = min(width, height)
        left, top = float((width - short) // 2), float((height - short) // 2)
        across = down = float(short)
    else:
        part = min(width / wide, height / high)
        across, down = part * wide, part * high
        left, top = max(0.0, (width - across) / 2), max(0.0, (height - down) / 2)
    box = (left, top, min(left + across, width), min(top + down, height))
    resized = picture.resize((wide, high), Image.Resampling.LANCZOS, box=box)
    return np.asarray(resized, dtype=np.uint8)
