"""Does a person's adapter write their own documents again?

A written text counts as a copy if it shares a longer run of words with a training document than every held-out document
of the same person does, each cut to the same number of words. If written texts were just further texts of the person,
about one in ``held-out + 1`` would.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

BETWEEN = ""  # no word: a run ends with a document


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without what stands between them."""
    return re.findall(r"\w+", text.lower())


class Known:
    """Documents in which runs of words are looked for; built once, because there are many words in them.

    Args:
        documents: in words.
    """

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self.words = [word for document in documents for word in (*document, BETWEEN)]
        self.places: dict[str, list[int]] = {}
        for place, word in enumerate(self.words):
            self.places.setdefault(word, []).append(place)

    def longest_run(self, text: Sequence[str]) -> int:
        """Words of the longest run that a text shares with one of the documents.

        >>> Known([["the", "cat", "sat", "on"], ["a", "mat"]]).longest_run(["he", "sat", "on", "a", "mat"])
        2
        """
        best = 0
        for start in range(len(text)):
            for place in self.places.get(text[start], ()):
                length = 0
                while start + length < len(text) and self.words[place + length] == text[start + length]:
                    length += 1
                best = max(best, length)
        return best


def copies(written: Sequence[str], held_out: Sequence[str], training: Sequence[str]) -> tuple[int, float]:
    """How many written texts count as copies, and the share expected of texts that are none.

    With no held-out document nothing can be said: the count is 0 and the share nan.
    """
    if not held_out or not written:
        return 0, float("nan")
    known, own = Known([words_of(text) for text in training]), [words_of(text) for text in written]
    length = max(map(len, own))
    line = max(known.longest_run(words_of(text)[:length]) for text in held_out)
    return sum(known.longest_run(text) > line for text in own), 1 / (len(held_out) + 1)
