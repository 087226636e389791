"""A picture of what an attacker reads: the wish as a letter, black bars over every word that stayed hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ADVANCE = 7.8  # of a letter of a monospaced font: 0.6 of its size
LEFT, TOP, LINE, GAP, WIDEST = 366, 58, 21, 9, 84
STYLE = """
svg{--paper:#fff;--ink:#1d1c1a;--soft:#5c5952;--line:#dedad0;--read:#b4451f;--bar:#1d1c1a}
@media (prefers-color-scheme:dark){svg{--paper:#15161a;--ink:#ecebe6;--soft:#b0aea6;--line:#383a41;--read:#f2a07b;\
--bar:#5d616b}}
text{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--soft)}
.paper{fill:var(--paper)}.bar{fill:var(--bar)}.read{fill:var(--read);font-weight:600}.name{fill:var(--ink)}
.line{stroke:var(--line)}
"""


def letter(shown: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The first wish once for every mode and attack.

    Args:
        shown: by mode, of each wish what ``audit_prompts`` shows: ``wish``, ``states`` (the text that was read from
            token states) and ``found`` (content words that were read from the one vector).

    Returns:
        An SVG file, readable in light and dark.
    """
    wish = next(iter(shown.values()))[0]["wish"]
    words = _fitting(wish)
    width = LEFT + int(ADVANCE * len(" ".join(words))) + 24
    height = TOP + len(shown) * (2 * LINE + GAP) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f'<title id="title">What an attacker reads of the wish: {escape(wish)}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
        f'<text class="name" x="16" y="24">the wish</text>{_words(words, set(map(_plain, words)), 24, "name")}',
    ]
    for k, (mode, read) in enumerate(shown.items()):
        top = TOP + k * (2 * LINE + GAP)
        parts += [
            f'<path class="line" d="M16 {top - 17}H{width - 16}"/>',
            f'<text class="name" x="16" y="{top + LINE // 2}">{escape(mode)}</text>',
            f'<text x="{LEFT - 14}" y="{top}" text-anchor="end">token states</text>',
            _words(words, set(map(_plain, read[0]["states"].split())), top, "read"),
            f'<text x="{LEFT - 14}" y="{top + LINE}" text-anchor="end">one vector</text>',
            _words(words, set(map(_plain, read[0]["found"])), top + LINE, "read"),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _fitting(wish: str) -> list[str]:
    words = wish.split()
    while len(" ".join(words)) > WIDEST and len(words) > 1:
        words.pop()
    return words


def _words(words: Sequence[str], read: set[str], y: int, kind: str) -> str:
    """A line of the letter: words in ``read`` as text, all others as bars of their length."""
    parts, x = [], float(LEFT)
    for word in words:
        wide = ADVANCE * len(word)
        if _plain(word) in read:
            parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y}" textLength="{wide:.1f}">{escape(word)}</text>')
        else:
            parts.append(f'<rect class="bar" x="{x:.1f}" y="{y - 11}" width="{wide:.1f}" height="14" rx="2"/>')
        x += wide + ADVANCE
    return "".join(parts)


def _plain(word: str) -> str:
    return re.sub(r"[^\w]", "", word.lower())
