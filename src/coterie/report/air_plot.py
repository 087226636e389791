"""Held-out loss against modelled time and energy, a line a profile; profiles differ by powers of ten, so do axes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 230, 46, 84, 12, 44
APART = 44  # of two labels on an axis
MINUTE, HOUR, DAY = 60, 3600, 86_400
TIMES = {1: "1 s", 10: "10 s", MINUTE: "1 min", 10 * MINUTE: "10 min", HOUR: "1 h", 10 * HOUR: "10 h", DAY: "1 day",
         10 * DAY: "10 days", 100 * DAY: "100 days"}  # fmt: skip
UNITS = ("J", "kJ", "MJ", "GJ")
JOULES = {10.0**k: f"{10 ** (k % 3)} {UNITS[k // 3]}" for k in range(12)}
TITLES = {"time": "modelled time", "energy": "modelled energy of all devices"}

Lines = Sequence[tuple[str, Sequence[tuple[float, float]]]]
"""By profile the points ``(cost, loss)`` after each scored round."""


def plot(lines: Lines, what: str) -> str:
    """One panel as SVG in the page's own colours; empty where nothing costs anything.

    Args:
        lines: of at least one profile.
        what: ``time`` in seconds or ``energy`` in joules.
    """
    lines = [(name, [(x, y) for x, y in points if x > 0]) for name, points in lines]
    points = [point for _, some in lines for point in some]
    if not points:
        return ""
    low, high = (f(log10(x) for x, _ in points) for f in (min, max))
    low, high = low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1)
    bottom, top = (f(y for _, y in points) for f in (min, max))
    room = 0.08 * (top - bottom or top)
    bottom, top = bottom - room, top + room

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (log10(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (top - y) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts, last = [], float("-inf")
    for value, label in (TIMES if what == "time" else JOULES).items():
        if low <= log10(value) <= high:
            x, _ = at(value, bottom)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            if x - last > APART:
                parts.append(_text(x, HEIGHT - BOTTOM + 16, label, "middle"))
                last = x
    step = 10 ** floor(log10((top - bottom) / 2))
    step *= next(k for k in (1, 2, 5) if (top - bottom) / (k * step) < 7)
    for k in range(ceil(bottom / step), floor(top / step) + 1):
        _, y = at(10**low, k * step)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{k * step:.4g}", "end"))
    parts += _drawn([(name, [at(*point) for point in some]) for name, some in lines])
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, TITLES[what], "middle"))
    names = escape(", ".join(name for name, _ in lines))
    return (
        f'<svg class="air-plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Held-out loss by {TITLES[what]}: '
        f'{names}; the table below holds the same values">{"".join(parts)}</svg>'
    )


def _drawn(lines: Lines) -> list[str]:
    """Lines with their names at their ends, which are moved apart where they would touch."""
    parts: list[str] = []
    ends = sorted(
        (k for k, (_, some) in enumerate(lines) if some), key=lambda k: (lines[k][1][-1][1], -lines[k][1][-1][0])
    )
    free = 0.0
    for k in ends:
        name, some = lines[k]
        x, y = some[-1]
        free = max(free + 14, min(y, HEIGHT - BOTTOM - 14.0 * (len(ends) - 1 - ends.index(k))))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in some)
        colour = f"var(--c{k % 8})"
        dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in some)
        lead = (
            f'<path d="M{x:.1f} {y:.1f}L{WIDTH - RIGHT + 8} {free:.1f}" stroke="{colour}" opacity=".45" fill="none"/>'
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{lead}')
        parts.append(_text(WIDTH - RIGHT + 12, free + 4, name, "start"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
