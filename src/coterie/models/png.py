"""Pictures as PNG files, with where they came from written into them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def png_bytes(pixels: NDArray[np.uint8], notes: Mapping[str, str] | None = None) -> bytes:
    """A picture ``(h, w, 3)`` as PNG; ``notes`` become iTXt entries."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, text in sorted((notes or {}).items()):
        info.add_itxt(key, text)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info, optimize=True)
    return out.getvalue()


LONGEST_NAME = 24  # letters
SMALL, LARGE = 128, 256  # sides in pixels between which a picture on a sheet stays as it is


def sheet(pictures: list[list[NDArray[np.uint8]]], gap: int = 2, names: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Rows of equally large pictures as one picture on white.

    Small pictures are enlarged by a whole number without smoothing, large ones made smaller.
    ``names`` of the rows stand at their left, long ones cut.
    """
    pictures = [[_resized(picture) for picture in row] for row in pictures]
    columns = max(len(row) for row in pictures)
    height, width = pictures[0][0].shape[:2]
    page = np.full((len(pictures) * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            y, x = gap + i * (height + gap), gap + j * (width + gap)
            page[y : y + height, x : x + width] = picture
    return np.concatenate([_named(names, height, gap), page], 1) if names else page


def _named(names: Sequence[str], height: int, gap: int) -> NDArray[np.uint8]:
    """A strip with a name in the middle of each row."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    short = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names]
    width = 16 + int(max(font.getlength(name) for name in short))
    strip = Image.new("RGB", (width, len(names) * (height + gap) + gap), "white")
    pen = ImageDraw.Draw(strip)
    for i, name in enumerate(short):
        pen.text((8, gap + i * (height + gap) + height // 2), name, "black", font, anchor="lm")
    return np.asarray(strip, dtype=np.uint8)


def _resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    side = max(picture.shape[:2])
    if side > LARGE:
        size = tuple(round(n * LARGE / side) for n in picture.shape[1::-1])
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)
    times = max(1, SMALL // side)
    return picture.repeat(times, 0).repeat(times, 1)
