"""What leaves a client's device in a form, in words for those whose device it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kept = Literal["examples", "captions"]
"""What otherwise never leaves a device."""


@dataclass(frozen=True)
class Leaves:
    """One kind of message from a device.

    Attributes:
        what: it holds, in a few words.
        when: it is sent.
        reveals: what it can give away to somebody who tries.
        instead_of: of what otherwise never leaves a device, what is handed over in its place.
    """

    what: str
    when: str
    reveals: str
    instead_of: Mapping[Kept, str] = field(default_factory=dict)


def adapter_reveals(example: str) -> str:
    """What trained weights can give away.

    Args:
        example: what a client has, one of them: ``picture`` or ``passage``.
    """
    how = "How the texts sound" if example == "passage" else f"How the {example}s look"
    return (
        f"{how} that it was trained on. Trained weights can give away parts of training {example}s, sometimes "
        f"whole ones, to somebody who tries; how many {example}s there were is sent along."
    )
