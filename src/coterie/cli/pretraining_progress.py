"""What a person sees while ``coterie pretrain`` or a training of books runs: one live line, or plain lines."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

from coterie.cli.progress import live_bar
from coterie.cli.words import clock


class PretrainingListener(Protocol):
    """Hears evaluations and steps of ``coterie pretrain``."""

    def tell(self, point: dict[str, Any]) -> None: ...
    def progress(self, seen: int, loss: float) -> None: ...


@contextlib.contextmanager
def pretraining_listener(budget: int, what: str = "pictures") -> Iterator[PretrainingListener]:
    """The listener of ``coterie pretrain`` for this terminal, for a budget of pictures or of something else."""
    if sys.stderr.isatty():
        with LivePretraining(budget, what) as live:
            yield live
    else:
        yield PlainPretraining(budget, what)


class Pace:
    """Pictures a second since a command was started, whatever its folder had seen before."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None

    def __call__(self, seen: int) -> float:
        now = time.monotonic()
        first, began = self.first = self.first or (seen, now)
        return (seen - first) / max(1e-9, now - began)


class PlainPretraining:
    """Prints a line for each evaluation, with the time left."""

    def __init__(self, budget: int, what: str = "pictures") -> None:
        self.budget, self.what, self.pace = budget, what, Pace()

    def tell(self, point: dict[str, Any]) -> None:
        rate = self.pace(point[self.what])
        left = clock((self.budget - point[self.what]) / max(rate, 1e-9))
        print(
            f"{point[self.what]:>9,} of {self.budget:,} {self.what}  train {point['train']:.4f}  "
            f"held out {point['held_out']:.4f}  {rate:.0f}/s  {left} left",
            flush=True,
        )

    def progress(self, seen: int, loss: float) -> None:
        self.pace(seen)


class LivePretraining:
    """One line with pictures seen, loss, pictures a second and the time left."""

    def __init__(self, budget: int, what: str = "pictures") -> None:
        from rich.console import Console

        self.budget, self.what, self.pace = budget, what, Pace()
        self.bar = live_bar(Console(stderr=True))
        self.task = self.bar.add_task(f"of {budget:,} {what}", total=None, detail="getting ready")

    def __enter__(self) -> LivePretraining:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def tell(self, point: dict[str, Any]) -> None:
        return None

    def progress(self, seen: int, loss: float) -> None:
        if self.pace.first is None:  # from here on the bar counts; the time left is of what is left
            self.bar.reset(self.task, total=self.budget, completed=seen)
        rate = self.pace(seen)
        detail = f"loss {loss:.3f}  {rate:.0f}/s" if rate else "first step"
        words = f"{seen:,} of {self.budget:,} {self.what}"
        self.bar.update(self.task, completed=seen, description=words, detail=detail)
