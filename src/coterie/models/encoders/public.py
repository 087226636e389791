"""A fixed public list of sentences; the mean of their encodings is the origin from which wishes are compared.

Sentence encoders put unrelated texts far from orthogonal. Centring on the clients' own mean would let one arrival move
everybody, so the origin is this list, which never changes (a change would make old wishes incomparable).
"""

from __future__ import annotations

_KINDS = (
    "watercolour landscapes", "oil portraits", "pencil sketches", "stained glass windows", "woodcut prints",
    "clay figures", "paper collages", "charcoal nudes", "comic strips", "travel posters", "botanical plates",
    "embroidered patches", "mosaic floors", "chalk drawings", "marble statues", "graffiti letters",
)  # fmt: skip
_USES = (
    "I would like {} for my living room wall.",
    "Make {} that I can print on cards for my friends.",
    "My little shop needs {} for its labels.",
    "I collect {} and want more of the same kind.",
)


def public_texts() -> list[str]:
    """Sixty-four sentences of people who wish for pictures."""
    return [use.format(kind) for kind in _KINDS for use in _USES]
