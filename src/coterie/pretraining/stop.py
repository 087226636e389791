"""Ctrl-C in a training: the first one lets the step end, the second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Stop:
    """Whether Ctrl-C was pressed; pressed again, it interrupts as usual.

    Processes that are started within ``quiet`` never hear of it: the one that started them tells them.
    """

    def __init__(self, asked: Any) -> None:
        self.asked = asked
        heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # not in the background of a script
        self.hears = heard and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Stop:
        if self.hears:
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.hears:
            signal.signal(signal.SIGINT, self.before)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        if not self.hears:
            yield
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
