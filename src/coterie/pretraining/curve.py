"""The curve of a pretraining run as one SVG file: held-out loss over pictures seen, readable in light and dark."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 30, 62  # margins around the drawing
STEPS = (1, 2, 2.5, 5, 10)  # between two ticks, times a power of ten

STYLE = """
svg{--paper:#fff;--ink:#1d1c1a;--soft:#5c5952;--line:#dedad0;--curve:#1b5fae}
@media (prefers-color-scheme:dark){svg{--paper:#15161a;--ink:#ecebe6;--soft:#b0aea6;--line:#383a41;--curve:#7db4f5}}
text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;fill:var(--soft)}
.paper{fill:var(--paper)}
.grid{stroke:var(--line)}
.curve{fill:none;stroke:var(--curve);stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}
.dot{fill:var(--curve)}
.name,.last{fill:var(--ink)}
.last{font-weight:600;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
"""


def draw_curve(points: Path, out: Path, seen: str = "pictures") -> None:
    """Draws a ``curve.jsonl`` into an SVG file, at once."""
    read = [json.loads(line) for line in points.read_text().splitlines()]
    part = out.with_name(out.name + ".part")
    part.write_text(curve_svg([(point[seen], point["held_out"]) for point in read], seen))
    os.replace(part, out)


def curve_svg(points: list[tuple[int, float]], what: str = "pictures") -> str:
    """The drawing of pairs of pictures (or whatever was) seen and held-out loss.

    Both axes are linear. What was seen begins at zero; the loss begins below its lowest point, not at zero, which it
    cannot reach.
    """
    seen, losses = [p for p, _ in points], [loss for _, loss in points]
    across = ticks(0, max(seen), 6)
    down = ticks(min(losses), max(losses), 6)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - across[0]) / (across[-1] - across[0])

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - down[0]) / (down[-1] - down[0])

    unit, word = (1000, f"thousand {what} seen") if across[-1] >= 10_000 else (1, f"{what} seen")
    middle, end = (TOP + HEIGHT - BOTTOM) / 2, f'x="{x(seen[-1]):.1f}" y="{y(losses[-1]) - 12:.1f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title">',
        f'<title id="title">Held-out loss over {what} seen: {losses[0]:.3f} after {seen[0]:,}, {losses[-1]:.3f} '
        f"after {seen[-1]:,}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
    ]
    for value in down:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        label = f"{value:.{_decimals(down)}f}"
        parts.append(f'<text x="{LEFT - 10}" y="{y(value) + 5:.1f}" text-anchor="end">{label}</text>')
    for value in across:
        below = HEIGHT - BOTTOM
        parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{below}" y2="{below + 6}"/>')
        label = f"{value / unit:,.{_decimals([t / unit for t in across])}f}"
        parts.append(f'<text x="{x(value):.1f}" y="{below + 23}" text-anchor="middle">{label}</text>')
    parts += [
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{word}</text>',
        f'<text class="name" transform="translate(20 {middle}) rotate(-90)" text-anchor="middle">held-out loss</text>',
        f'<polyline class="curve" points="{" ".join(f"{x(p):.1f},{y(loss):.1f}" for p, loss in points)}"/>',
        *(f'<circle class="dot" cx="{x(p):.1f}" cy="{y(loss):.1f}" r="3.5"/>' for p, loss in points),
        f'<text class="last" {end} text-anchor="end">{losses[-1]:.3f}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers, evenly apart, that enclose two values; at least two, and ``most`` of them at most."""
    if high <= low:
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * k * tens for tens in (1, 10) for k in STEPS):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [round(k * step, 12) for k in range(first, last + 1)]


def _decimals(values: list[float]) -> int:
    """The fewest decimals that show all values as they are."""
    return next((n for n in range(9) if all(abs(round(v, n) - v) < 1e-9 * max(1, abs(v)) for v in values)), 9)
