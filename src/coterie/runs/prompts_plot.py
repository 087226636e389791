"""The plot of ``coterie audit prompts`` as one SVG file, readable in light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 64, 60  # margins around the drawing
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
LINE = 17  # between two labels
LETTER, GAP, DOT = 6.9, 10, 4.5  # width of a letter, between a dot and its label, half a dot
STYLE = """
svg{--paper:#fff;--ink:#1d1c1a;--soft:#5c5952;--line:#dedad0;--dot:#1b5fae}
@media (prefers-color-scheme:dark){svg{--paper:#15161a;--ink:#ecebe6;--soft:#b0aea6;--line:#383a41;--dot:#7db4f5}}
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;fill:var(--soft)}
.paper{fill:var(--paper)}.grid{stroke:var(--line)}.dot{fill:var(--dot)}.lead{stroke:var(--soft);stroke-width:.7}
.name{fill:var(--ink)}
.label{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
"""


def plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """Words read in twenty guesses (across), agreement of groups of named wishes (up); empty if that is unknown."""
    if any(row["named"] is None for row in rows):
        return ""
    places: dict[tuple[float, float], list[str]] = {}  # modes that lie on each other share a label
    for row in rows:
        at = (round(row["twenty"]["mean"], 2), round(max(0.0, row["named"]["mean"]), 2))
        places.setdefault(at, []).append(row["mode"])
    end = next(tick for tick in (0.25, 0.5, 1.0) if tick >= max(x for x, _ in places) or tick == 1.0)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / end

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title">',
        '<title id="title">For every mode of sending a wish: words read in twenty guesses, agreement of groups</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
    ]
    for tick in TICKS:
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>',
            f'<text x="{LEFT - 10}" y="{y(tick) + 5:.1f}" text-anchor="end">{tick:.1f}</text>',
            f'<text x="{x(tick * end):.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{tick * end:.0%}</text>',
        ]
    parts += [
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">content words '
        "of a wish read in twenty guesses</text>",
        f'<text class="name" transform="translate(20 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "agreement of groups, named wishes</text>",
    ]
    order = sorted(places, key=lambda one: (-one[1], one[0]))
    dots, labels = [(x(one), y(other)) for one, other in order], [", ".join(places[at]) for at in order]
    for (across, up), label, (anchor, foot, height) in zip(dots, labels, placed(dots, labels), strict=True):
        if abs(height - up) > 2 * LINE:
            parts.append(f'<line class="lead" x1="{across:.1f}" y1="{up:.1f}" x2="{foot:.1f}" y2="{height:.1f}"/>')
        parts += [
            f'<circle class="dot" cx="{across:.1f}" cy="{up:.1f}" r="{DOT}"/>',
            f'<text class="label" x="{foot:.1f}" y="{height + 5:.1f}" text-anchor="{anchor}">{escape(label)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def placed(dots: Sequence[tuple[float, float]], labels: Sequence[str]) -> list[tuple[str, float, float]]:
    """Where the label of each dot stands: over no dot and no label before it, inside the drawing, as near as can be.

    Beside the dot, inwards first; else above it or below, a line further each time.

    Args:
        dots: where they are, ``(x, y)``.
        labels: of each; an average letter is ``LETTER`` wide.

    Returns:
        Of each which of its points is meant (``start``, ``middle``, ``end``), where that is, and its middle's height.
        Where there is no room at all it stands beside its dot.
    """
    full = [(a - DOT - 1, a + DOT + 1, b - DOT - 1, b + DOT + 1) for a, b in dots]
    found = []
    for (a, b), label in zip(dots, labels, strict=True):
        length, sides = LETTER * len(label), [("start", a + GAP), ("end", a - GAP)]
        sides = sides[::-1] if a > 0.6 * WIDTH else sides
        tried = [(anchor, foot, b) for anchor, foot in sides]
        for lines in range(1, HEIGHT // LINE):
            for height in (b - lines * LINE, b + lines * LINE):
                tried += [(anchor, foot, height) for anchor, foot in (("middle", a), *sides)]
        boxes = [_box(*one, length) for one in tried]
        free = [
            one for one, box in zip(tried, boxes, strict=True) if _inside(box) and not any(_meet(box, o) for o in full)
        ]
        found.append((free or tried)[0])
        full.append(_box(*found[-1], length))
    return found


def _box(anchor: str, foot: float, height: float, length: float) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of a label."""
    left = foot - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * length
    return left, left + length, height - LINE / 2 + 1, height + LINE / 2 - 1


def _inside(box: tuple[float, float, float, float]) -> bool:
    return box[0] >= LEFT and box[1] <= WIDTH - 4 and box[2] >= 4 and box[3] <= HEIGHT - BOTTOM


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
