"""A study's plots as SVG and its sheet of pictures as PNG, written by hand: dots, bars and rows of squares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
INK, QUIET, PALE, ACCENT, AGAINST = "#1d1c1a", "#8a867c", "#e6e2d8", "#1b5fae", "#b4451f"
ROW, TOP, LEFT, WIDTH = 26, 14, 360, 960
LETTER = 7.6  # pixels that a letter takes at most, on average
POWERS = 10  # so many times farther to the right than another line one may end on an even scale


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        name: at its left.
        values: a dot each, a bar at their mean.
        low: left end of the interval, if there is one.
        high: right end.
        limit: what the mean had to reach, if anything.
        colour: of dots and bar.
    """

    name: str
    values: Sequence[float]
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    colour: str = QUIET


def dots(lines: Sequence[Line], label: str) -> str:
    """A dot for each value, a bar at their mean, a line for the interval, a pale tick for the limit."""
    numbers = [x for line in lines for x in (*line.values, line.low, line.high, line.limit) if x is not None]
    low, high = min([0.0, *numbers]), max([0.0, *numbers])
    pad = 0.04 * (high - low or 1.0)
    low, high = low - pad, high + pad
    left = max(LEFT, LETTER * max((len(line.name) for line in lines), default=0) + 24)

    def at(x: float) -> float:
        return left + (x - low) / (high - low) * (WIDTH - left - 20)

    bottom = TOP + ROW * len(lines)
    parts = []
    for tick in ticks(low, high):
        colour = QUIET if tick == 0 else PALE
        parts.append(f'<path d="M{at(tick):.1f} {TOP}V{bottom}" stroke="{colour}"/>')
        parts.append(_text(at(tick), bottom + 18, f"{tick:g}", "middle", QUIET))
    for k, line in enumerate(lines):
        y = TOP + ROW * (k + 0.5)
        parts.append(_text(left - 12, y + 4.5, line.name, "end", INK))
        if line.limit is not None:
            parts.append(_tick(at(line.limit), y, 7, "#c9c4b8", 3))
        if line.low is not None and line.high is not None:
            parts.append(
                f'<path d="M{at(line.low):.1f} {y:.1f}H{at(line.high):.1f}" stroke="{line.colour}" stroke-width="1.5"/>'
            )
        parts += [
            f'<circle cx="{at(x):.1f}" cy="{y:.1f}" r="4" fill="{line.colour}" fill-opacity="0.45"/>'
            for x in line.values
        ]
        if line.values:
            parts.append(_tick(at(fmean(line.values)), y, 8, line.colour, 3))
    parts.append(_text(WIDTH - 20, bottom + 40, label, "end", INK))
    return _page(parts, bottom + 52)


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> str:
    """Lines through points ``(x, y)``, each named at its end; whole numbers like rounds begin at the first.

    Where one line ends ten times as far to the right as another, every power of ten is as wide as the next.
    """
    points = [p for line in lines.values() for p in line]
    height, left, right = 340, 70, 250
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    counted = all(x == int(x) for x in xs)
    lasts = [line[-1][0] for line in lines.values()]
    by_powers = not counted and min(xs) > 0 and max(lasts) >= POWERS * min(lasts)
    low_x, high_x, low_y, high_y = min(xs) if counted or by_powers else min([0.0, *xs]), max(xs), min(ys), max(ys)
    marks = powers(low_x, high_x) if by_powers else ticks(low_x, high_x) if high_x > low_x else [low_x]
    pad = 0.05 * (high_y - low_y or 1.0)
    low_y, high_y = low_y - pad, high_y + pad

    def at(x: float, y: float) -> tuple[float, float]:
        share = log10(x / low_x) / log10(high_x / low_x) if by_powers else (x - low_x) / (high_x - low_x or 1.0)
        return left + share * (WIDTH - left - right), TOP + (high_y - y) / (high_y - low_y) * (height - TOP)

    parts = []
    for tick in ticks(low_y, high_y):
        y = at(low_x, tick)[1]
        parts.append(f'<path d="M{left} {y:.1f}H{WIDTH - right}" stroke="{PALE}"/>')
        parts.append(_text(left - 8, y + 4.5, f"{tick:g}", "end", QUIET))
    for tick in marks:
        if counted and tick != int(tick):
            continue
        parts.append(_text(at(tick, low_y)[0], height + 18, f"{tick:,.10g}", "middle", QUIET))
    ends = sorted(lines, key=lambda name: at(*lines[name][-1])[1])
    free = TOP + 6.0
    for k, name in enumerate(ends):
        colour = COLOURS[list(lines).index(name) % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in lines[name]))
        x, y = at(*lines[name][-1])
        room = TOP + height - 15.0 * (len(ends) - k)
        free = label = max(free, min(y, max(free, room)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>']
        parts.append(f'<path d="M{x:.1f} {y:.1f}L{WIDTH - right + 14} {label:.1f}" stroke="{colour}" opacity="0.4"/>')
        parts.append(_text(WIDTH - right + 18, label + 4.5, name, "start", colour))
        free += 15
    parts.append(_text((left + WIDTH - right) / 2, height + 40, f"{across}; upwards: {up}", "middle", INK))
    return _page(parts, max(height + 52, free + 10))


COLOURS = ("#1b5fae", "#b4451f", "#2e7d4f", "#8a5bb0", "#b58a00", "#00838f", "#c2407c", "#5d6b7a", "#6b8e23", "#7a4a2b",
           "#3949ab", "#ef6c00", "#00695c", "#ad1457", "#455a64", "#9e9d24")  # fmt: skip


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, four to ten of them.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    wide = high - low
    size = 10 ** np.floor(np.log10(wide / 4))
    step = next(size * k for k in (1, 2, 5, 10, 20) if wide / (size * k) <= 8)
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [round(float(k * step), 10) for k in range(first, last + 1)]


def powers(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers above 0, with what is two and five times as much where there are few.

    >>> powers(0.03, 2)
    [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    >>> powers(3, 40000)
    [10.0, 100.0, 1000.0, 10000.0]
    """
    steps = (1, 2, 5) if high / low < 3000 else (1,)
    found = [step * 10.0**n for n in range(floor(log10(low)), ceil(log10(high)) + 1) for step in steps]
    return [float(f"{x:.3g}") for x in found if low * (1 - 1e-9) <= x <= high * (1 + 1e-9)]


def sheet(rows: Mapping[str, Sequence[Pixels]], heads: Sequence[tuple[str, int]], scale: int = 2) -> Pixels:
    """Rows of equally large pictures with a name at the left of each, and heads over so many columns each."""
    side = next(iter(rows.values()))[0].shape[0]
    step, gap, head = side * scale + 3, 12, 44
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    left = 24 + int(max(font.getlength(name) for name in rows))
    width = left + sum(count * step + gap for _, count in heads)
    page = Image.new("RGB", (width, head + len(rows) * step), "white")
    pen = ImageDraw.Draw(page)
    x = left
    for number, (name, count) in enumerate(heads):
        middle, lower = x + (count * step - 3) / 2, number % 2 == 1
        pen.text((middle, 32 if lower else 12), name, INK, small, anchor="mm")
        x += count * step + gap
    for k, (name, pictures) in enumerate(rows.items()):
        pen.text((left - 12, head + k * step + step / 2), name, INK, font, anchor="rm")
        x, column = left, 0
        for _, count in heads:
            for picture in pictures[column : column + count]:
                large = Image.fromarray(picture).resize((side * scale, side * scale), Image.Resampling.NEAREST)
                page.paste(large, (x, head + k * step))
                x += step
            column += count
            x += gap
    return np.asarray(page, dtype=np.uint8)


def _tick(x: float, y: float, half: float, colour: str, width: float) -> str:
    return f'<path d="M{x:.1f} {y - half:.1f}V{y + half:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _page(parts: Sequence[str], height: float) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'font-family="system-ui, sans-serif" font-size="14">\n<rect width="100%" height="100%" fill="white"/>\n'
        f"{inside}\n</svg>\n"
    )
