"""The plot of ``coterie audit prompts`` as one SVG file, readable in light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 64, 60  # margins around the drawing
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
LINE = 17  # between two labels
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
    taken: list[tuple[float, float, float]] = []  # left end, right end and height of the labels so far
    for at in sorted(places, key=lambda one: (-one[1], one[0])):
        label = ", ".join(places[at])
        left_of = x(at[0]) > WIDTH * 0.6
        length, height = 6.9 * len(label), y(at[1]) - 8
        begin = x(at[0]) - 10 - length if left_of else x(at[0]) + 10
        while any(begin < b and a < begin + length and abs(height - h) < LINE for a, b, h in taken):
            height -= LINE
        taken.append((begin, begin + length, height))
        if y(at[1]) - height > 2 * LINE:
            foot = begin + length if left_of else begin
            parts.append(
                f'<line class="lead" x1="{x(at[0]):.1f}" y1="{y(at[1]):.1f}" x2="{foot:.1f}" y2="{height + 2:.1f}"/>'
            )
        anchor, foot = ("end", begin + length) if left_of else ("start", begin)
        parts += [
            f'<circle class="dot" cx="{x(at[0]):.1f}" cy="{y(at[1]):.1f}" r="4.5"/>',
            f'<text class="label" x="{foot:.1f}" y="{height + 5:.1f}" text-anchor="{anchor}">{escape(label)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
