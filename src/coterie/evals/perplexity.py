"""Perplexity and bits by character, out of a loss in nats by token and a count of what was read.

The same nats over the same text are divided by words or by characters, so that models with other vocabularies can be
compared (``algorithms`` 17.3). A document's end mark is foretold like everything else; it counts as one token, one word
and one character. Words are what blanks part. Every token is foretold once, from what stands before it in its window
(``coterie.models.windows``); nothing is tokenised otherwise, lower-cased or replaced by ``<unk>``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def units_of(documents: Sequence[str], tokens: int) -> dict[str, int]:
    """What the nats of some documents can be divided by.

    Args:
        documents: whole.
        tokens: that are foretold, end marks among them.

    >>> units_of(["one two", "three"], 9)
    {'tokens': 9, 'words': 5, 'characters': 14}
    """
    marks = len(documents)
    words = sum(len(text.split()) for text in documents) + marks
    return {"tokens": tokens, "words": words, "characters": sum(map(len, documents)) + marks}


def by_token(loss: float) -> float:
    """Perplexity by token: between models of one vocabulary only."""
    return _exp(loss)


def by_word(loss: float, units: Mapping[str, int]) -> float:
    """Perplexity by word, end marks among them.

    >>> round(by_word(math.log(2), {"tokens": 6, "words": 3, "characters": 12}), 6)
    4.0
    """
    return _exp(loss * units["tokens"] / units["words"])


def bits_by_character(loss: float, units: Mapping[str, int]) -> float:
    """Bits that a character takes, end marks among them.

    >>> bits_by_character(math.log(2), {"tokens": 6, "words": 3, "characters": 12})
    0.5
    """
    return loss * units["tokens"] / units["characters"] / math.log(2)


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
