"""Does a person's adapter write their own documents again?

A written text counts as a copy if it shares a longer run of words with a training document than every held-out document
of the same person does, each cut to the same number of words. If written texts were just further texts of the person,
about one in ``held-out + 1`` would.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without what stands between them."""
    return re.findall(r"\w+", text.lower())


def longest_run(text: Sequence[str], known: Sequence[Sequence[str]]) -> int:
    """Words of the longest run that a text shares with one of some others.

    >>> longest_run("he sat on the mat".split(), ["the cat sat on the floor".split()])
    3
    """
    low, high = 0, len(text)
    while low < high:  # a shared run of n words holds one of n - 1
        middle = (low + high + 1) // 2
        if _runs(text, middle) & set().union(*(_runs(other, middle) for other in known)):
            low = middle
        else:
            high = middle - 1
    return low


def copies(written: Sequence[str], held_out: Sequence[str], training: Sequence[str]) -> tuple[int, float]:
    """How many written texts count as copies, and the share expected of texts that are none.

    With no held-out document nothing can be said: the count is 0 and the share nan.
    """
    if not held_out or not written:
        return 0, float("nan")
    known, own = [words_of(text) for text in training], [words_of(text) for text in written]
    length = max(map(len, own))
    line = max(longest_run(words_of(text)[:length], known) for text in held_out)
    return sum(longest_run(text, known) > line for text in own), 1 / (len(held_out) + 1)


def _runs(text: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(text[i : i + length]) for i in range(len(text) - length + 1)}
