"""Pictures as PNG files, with where they came from written into them."""

from __future__ import annotations

import io
from collections.abc import Mapping

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


def sheet(pictures: list[list[NDArray[np.uint8]]], scale: int = 3, gap: int = 2) -> NDArray[np.uint8]:
    """Rows of equally large pictures as one picture on white, each enlarged without smoothing."""
    columns = max(len(row) for row in pictures)
    height, width = (side * scale for side in pictures[0][0].shape[:2])
    page = np.full((len(pictures) * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            y, x = gap + i * (height + gap), gap + j * (width + gap)
            page[y : y + height, x : x + width] = picture.repeat(scale, 0).repeat(scale, 1)
    return page
