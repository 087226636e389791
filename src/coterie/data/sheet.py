"""A sheet of what clients would train on: a row for each, every picture as the model sees it, its caption below."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from coterie.data.check import clients_of
from coterie.data.table import Pixels, Table

TILE = 96
CELL = 124
LINE = 15
CAPTION_LINES = 4
TRAIN, HELD_OUT = 7, 3
MOST_CLIENTS = 40
INK, PALE, LEAK = "#1b1b1b", "#6d6d6d", "#c2410c"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def sheet(table: Table) -> bytes:
    """A PNG of the first pictures of the first clients; what is held out has a frame, what is left out is counted.

    Args:
        table: columns ``client`` or ``person``, and ``split``, are read where they are there.

    Cost: a tenth of a second for each client.
    """
    clients = clients_of(table)
    shown = list(clients.items())[:MOST_CLIENTS]
    small, bold = ImageFont.load_default(12), ImageFont.load_default(15)
    height = LINE * 2 + TILE + 8 + CAPTION_LINES * LINE + 10
    width = 16 + (TRAIN + HELD_OUT) * CELL
    page = Image.new("RGB", (width, 16 + len(shown) * height + 2 * LINE), "white")
    pen = ImageDraw.Draw(page)
    for number, (name, rows) in enumerate(shown):
        top = 12 + number * height
        train, held_out = _parted(table, rows)
        few = train[: TRAIN if held_out else TRAIN + HELD_OUT] + held_out[: TRAIN + HELD_OUT - min(len(train), TRAIN)]
        pen.text((12, top), _heading(name, len(train), len(held_out), len(few)), INK, bold)
        for place, row in enumerate(few):
            left, upper = 12 + place * CELL, top + LINE + 10
            tile = _tile(table.pixels[row])
            page.paste(tile, (left, upper))
            if row in held_out:
                right, lower = left + tile.width + 2, upper + tile.height + 2
                pen.rectangle((left - 3, upper - 3, right, lower), outline=LEAK, width=2)
            for line, words in enumerate(_lines(table.captions[row], small, CELL - 12)):
                pen.text((left, upper + TILE + 6 + line * LINE), words, INK, small)
    more = f"and {len(clients) - len(shown)} more clients; " if len(clients) > len(shown) else ""
    framed = "; framed: held out" if "split" in table.columns else ""
    pen.text((12, page.height - 2 * LINE), f"{more}{len(table)} pictures in all{framed}", PALE, small)
    out = io.BytesIO()
    page.save(out, "PNG", optimize=True)
    return out.getvalue()


def _parted(table: Table, rows: Sequence[int]) -> tuple[list[int], list[int]]:
    split = table.columns.get("split")
    train = [row for row in rows if split is None or split[row] == "train"]
    return train, [row for row in rows if split is not None and split[row] != "train"]


def _heading(name: str, train: int, held_out: int, shown: int) -> str:
    counted = f"{train} to learn from, {held_out} held out" if held_out else f"{train} pictures"
    hidden = train + held_out - shown
    return f"{name or 'all'}:  {counted}" + (f"; {hidden} more not shown" if hidden else "")


def _tile(pixels: Pixels) -> Image.Image:
    """In its own shape; small pictures keep their pixels visible: this is what the model will see."""
    picture = Image.fromarray(pixels)
    long = max(picture.size)
    smooth = Image.Resampling.LANCZOS if long > TILE else Image.Resampling.NEAREST
    return picture.resize((round(picture.width * TILE / long), round(picture.height * TILE / long)), smooth)


def _lines(caption: str, font: Font, width: int) -> list[str]:
    """The caption broken to a width, its end cut where there are more than ``CAPTION_LINES``."""
    lines = [""]
    for word in caption[:400].split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    fitted = [_cut(line, font, width) for line in lines[:CAPTION_LINES]]
    if len(lines) > CAPTION_LINES:
        fitted[-1] = _cut(fitted[-1] + " …", font, width)
    return fitted


def _cut(line: str, font: Font, width: int) -> str:
    while len(line) > 1 and font.getlength(line) > width:
        line = line.removesuffix("…")[:-1] + "…"
    return line
