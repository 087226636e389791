"""All pictures of the page in one WebP, and a number for each, which the page turns into a place in it.

Small pictures keep every pixel; those of larger models are made smaller and compressed with loss, as photographs are.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable

import numpy as np
from PIL import Image

from coterie.report.read import Pixels

SMALL, LARGEST_SIDE = 64, 192
BUDGET, LARGE_BUDGET = 330_000, 4_000_000  # bytes of the file; as text in the page they are a third more
LONGEST = 16_000  # pixels of the file's side; WebP ends at 16,383


class Atlas:
    """Collects pictures; the same picture is held once, however often it is shown."""

    def __init__(self) -> None:
        self._side = 0
        self._tiles: list[Pixels] = []
        self._known: dict[tuple[tuple[int, ...], bytes], int] = {}
        self._made: tuple[int, tuple[bytes, int]] = (0, (b"", 8))

    def add(self, picture: Pixels) -> int:
        """The number of a picture, which is new or was there before. The first decides the longer side of all."""
        if not self._side:
            self._side = min(LARGEST_SIDE, max(picture.shape[:2]))
        long = max(picture.shape[:2])
        if long != self._side:
            how = Image.Resampling.LANCZOS if long > self._side else Image.Resampling.NEAREST
            wide, high = (max(1, round(n * self._side / long)) for n in picture.shape[1::-1])
            picture = np.asarray(Image.fromarray(picture).resize((wide, high), how), dtype=np.uint8)
        key = (picture.shape, picture.tobytes())
        if key not in self._known:
            self._known[key] = len(self._tiles)
            self._tiles.append(picture)
        return self._known[key]

    def add_all(self, pictures: Iterable[Pixels]) -> list[int]:
        return [self.add(picture) for picture in pictures]

    @property
    def columns(self) -> int:
        return max(1, math.ceil(math.sqrt(len(self._tiles))))

    @property
    def bits(self) -> int:
        """Bits a colour channel keeps: 8 is everything, fewer if the file would be too large otherwise."""
        return self._packed()[1]

    def style(self) -> str:
        """Style rules: the picture of all pictures, and the place of each in units of one tile."""
        if not self._tiles:
            return ""
        data, _ = self._packed()
        columns, rows = self.columns, math.ceil(len(self._tiles) / self.columns)
        places = "".join(
            f".t{i}{{--x:{-(i % columns)};--y:{-(i // columns)}{self._part(tile)}}}"
            for i, tile in enumerate(self._tiles)
        )
        url = base64.b64encode(data).decode()
        if self._side > SMALL:
            places += ":root{--side:48px;--grain:auto}"
        return f".px{{--columns:{columns};--rows:{rows};background-image:url(data:image/webp;base64,{url})}}{places}"

    def _part(self, tile: Pixels) -> str:
        """How much of its square a picture of another shape fills: the page shows that and no more."""
        high, wide = (round(n / self._side, 4) for n in tile.shape[:2])
        return "" if high == wide else f";--w:{wide};--h:{high}"

    def _packed(self) -> tuple[bytes, int]:
        """The file and the bits that it keeps; made again only if there are more pictures than the last time."""
        if self._made[0] != len(self._tiles):
            self._made = len(self._tiles), self._pack()
        return self._made[1]

    def _pack(self) -> tuple[bytes, int]:
        columns, side = self.columns, self._side
        sheet = np.zeros((math.ceil(len(self._tiles) / columns) * side, columns * side, 3), np.uint8)
        for i, tile in enumerate(self._tiles):
            y, x = (i // columns) * side, (i % columns) * side
            sheet[y : y + len(tile), x : x + tile.shape[1]] = tile
        if side > SMALL:
            sheet = _shrunk(sheet, LONGEST)
            files = (_webp(sheet, quality) for quality in (85, 75, 60, 45))
            smallest = b""
            for smallest in files:
                if len(smallest) <= LARGE_BUDGET:
                    break
            return smallest, 8
        data = b""
        for bits in (8, 7, 6, 5, 4):
            data = _webp(_rounded(sheet, bits))
            if len(data) <= BUDGET:
                return data, bits
        return data, 4


def _rounded(sheet: Pixels, bits: int) -> Pixels:
    """Colours on ``2 ** bits`` evenly spaced values a channel, ends included."""
    if bits == 8:
        return sheet
    top = 2**bits - 1
    rounded: Pixels = np.round(np.round(sheet / 255 * top) * (255 / top)).astype(np.uint8)
    return rounded


def _shrunk(sheet: Pixels, longest: int) -> Pixels:
    """The whole sheet smaller if a side is too long for the format; places are in units of tiles and stay right."""
    side = max(sheet.shape[:2])
    if side <= longest:
        return sheet
    size = tuple(n * longest // side for n in sheet.shape[1::-1])
    return np.asarray(Image.fromarray(sheet).resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)


def _webp(sheet: Pixels, quality: int | None = None) -> bytes:
    """Without loss, or at a quality up to 100."""
    out = io.BytesIO()
    Image.fromarray(sheet).save(
        out, "WEBP", lossless=quality is None, quality=quality or 80, method=6 - 2 * bool(quality)
    )
    return out.getvalue()
