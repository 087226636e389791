"""Who wants to know how far a piece of work is."""

from __future__ import annotations

from collections.abc import Callable

Steps = Callable[[int, int], None]
"""Called with steps done and steps in all."""

Progress = Callable[[str, int, int], None]
"""Called with a kind of work, steps done and steps in all."""


def unheard(*_: object) -> None:
    """Nobody wants to know."""
