"""When memory ran out: the same work again in smaller calls."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from coterie.core.errors import UserError

Done = TypeVar("Done")


def with_room(work: Callable[[], Done], smaller: Callable[[], bool], sentence: str) -> Done:
    """Does a work from its beginning until it fits.

    Args:
        work: may run out of memory; then nothing of it counts.
        smaller: makes its calls smaller, or says False when they are as small as they can be.
        sentence: for a user, with ``{}`` for what the machine said.

    Raises:
        UserError: if the smallest calls do not fit either.
    """
    while True:
        try:
            return work()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            said = str(error).splitlines()[0]
        # outside of the handler, whose exception holds every tensor of the call that failed
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not smaller():
            raise UserError(sentence.format(said))


def out_of_memory(error: RuntimeError) -> bool:
    """A graphics card says so by a type of its own, the processor's allocator in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
