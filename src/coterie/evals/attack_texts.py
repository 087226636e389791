"""What an attacker trains on: sentences made of public words, none of which is in the sentences to be read."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Sequence

DICTIONARY = 10_000  # whole words of the encoder's vocabulary, the most frequent first
SHORTEST = 4  # letters of a content word

TEMPLATES = (
    "{} {} for the {} in my {}.", "I would like {} with {} and a {} {}.", "A {} {} near the {}, {} and {}.",
    "The {} of a {}, {} {} on {}.", "Make it {} and {}, like a {} from the {}.", "{} with {} {}, not {}.",
    "We need {} for our {}, very {} and {}.", "Something {}: {} on {} with {} {}.",
    "Pictures of {} as if {} by a {} {}.", "My {} {} should look like {} {} under {}.", "{}, {} and {}, all in {} {}.",
    "Only {}, no {} and no {}, {} as a {}.",
)  # fmt: skip


def content_words(pieces: Iterable[str], known: Collection[str]) -> list[str]:
    """The words of a text that say what it is about, each once: whole, of four letters or more, no function words.

    Args:
        pieces: the text as the encoder's tokenizer cuts it.
        known: words that count.
    """
    return [piece for piece in dict.fromkeys(pieces) if piece in known]


def dictionary(words: Sequence[str]) -> list[str]:
    """The words that an attacker tries, of a vocabulary in order of frequency; which of them are meant it cannot know.

    Function words and the moulds' own words are not among them, so that none of them is trained on by accident.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    left_out = ENGLISH_STOP_WORDS | set(re.findall("[a-z]+", " ".join(TEMPLATES).lower()))
    long = (word for word in words if len(word) >= SHORTEST and word not in left_out)
    return list(long)[:DICTIONARY]


def sentences(words: Sequence[str], count: int, seed: int) -> list[str]:
    """Sentences of random words in a few moulds; a mould's own words are function words or say nothing of a look."""
    draw = random.Random(seed)
    moulds = [TEMPLATES[i % len(TEMPLATES)] for i in range(count)]
    return [mould.format(*(draw.choice(words) for _ in range(mould.count("{}")))) for mould in moulds]
