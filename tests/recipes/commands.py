"""Commands as processes of their own that can be killed, forked from one that has imported all they need."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from coterie.models.backbones.doodle import DoodleSettings

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["coterie.__main__", "coterie.cli.app", "coterie.runs.crew", *DoodleSettings.libraries])


def killed(words: Sequence[str], moment: Callable[[str], bool], later: float) -> bool:
    """Begins a command and kills it ``later`` seconds after the first line that is the moment.

    Returns:
        whether it was still there to be killed.
    """
    reading, writing = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=_typed, args=(writing, list(words)))
    process.start()
    writing.close()
    with os.fdopen(os.dup(reading.fileno()), encoding="utf-8") as said:
        reading.close()
        for line in said:
            if moment(line):
                break
        process.join(later)
        alive = process.is_alive()
        if alive:
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    return alive


def chance(seed: int, most: float) -> Callable[[], float]:
    """Seconds between none and most, drawn anew at each call."""
    drawn = random.Random(seed)
    return lambda: drawn.uniform(0, most)


def _typed(pipe: Connection, words: Sequence[str]) -> None:
    from coterie.__main__ import main

    os.dup2(pipe.fileno(), 1)
    os.dup2(pipe.fileno(), 2)
    sys.argv = ["coterie", *words]
    main()
