"""What a person sees while something runs: one live line, plain lines where there is no terminal, or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from coterie.cli.words import clock, round_name, sentence
from coterie.core.progress import Steps

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


FIRST = 0.7  # of what is left of a round or step is shown for each piece of its work: nobody knows how many will follow
LAST_STEPS = {
    "keeping": "what each keeps",
    "scoring": "its scores",
    "people": "what each draws",
    "copies": "looking for copies",
    "server": "the last pictures",
}


class Listener(Protocol):
    """Hears events and steps of work."""

    def tell(self, event: str, **fields: Any) -> None: ...
    def progress(self, kind: str, done: int, total: int) -> None: ...


@contextlib.contextmanager
def listener(as_json: bool) -> Iterator[Listener]:
    """The listener for this terminal."""
    if as_json:
        yield JsonLines()
    elif sys.stderr.isatty():
        with Live() as live:
            yield live
    else:
        yield PlainLines()


class JsonLines:
    """Every event as one line of JSON on standard output."""

    def tell(self, event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), flush=True)

    def progress(self, kind: str, done: int, total: int) -> None:
        return None


class PlainLines:
    """One line an event, for logs."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        print("0:00  loading the model and the data", flush=True)

    def tell(self, event: str, **fields: Any) -> None:
        line = sentence(event, fields)
        if line:
            print(f"{clock(time.monotonic() - self.began)}  {line}", flush=True)

    def progress(self, kind: str, done: int, total: int) -> None:
        return None


def live_bar(console: Console) -> Progress:
    """The line of every command that takes long: what, how far, a detail, time spent and time left."""
    from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class TimeLeft(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            return Text("") if task.total is None else Text("left ") + super().render(task)

    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=24 if console.width >= 100 else 12),
        TextColumn("{task.fields[detail]}"), TimeElapsedColumn(), TimeLeft(),
        console=console, transient=True,
    )  # fmt: skip


class Live:
    """A line with time left for the whole run, and a line that stays for each finished round."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.bar = live_bar(self.console)
        self.done, self.span, self.total = 0.0, 1.0, 0.0
        self.before, self.reached, self.last = 0.0, 0.0, ("", 0)
        self.shares: dict[str, float] = {}
        self.step = ""
        self.task: Any = self.bar.add_task("starting", total=None, detail="model and people")

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def tell(self, event: str, **fields: Any) -> None:
        if event == "started":
            self.total, what = fields["rounds"] + 2.0, "control" if fields.get("arm") == "control" else fields["form"]
            self.bar.remove_task(self.task)
            self.task = self.bar.add_task(what, total=self.total, detail="getting ready")
            self.step = ""
            self.begin(0.0, 1.0)
        elif event == "round_started":
            self.begin(float(fields["round"]), 1.0, round_name(fields["round"]))
        elif event == "finishing":
            self.shares = fields["steps"]
            return  # the bar says it
        elif event == "finishing_step":
            names = list(self.shares)
            number = names.index(fields["step"])
            done = sum(self.shares[name] for name in names[:number])
            self.step = f"{number + 1}/{len(names)} {LAST_STEPS[fields['step']]}"
            self.begin(self.total - 1 + done, self.shares[fields["step"]], self.step)
            return
        line = sentence(event, fields)
        if line:
            self.console.print(line, highlight=False)

    def progress(self, kind: str, done: int, total: int) -> None:
        if not total:
            return
        if self.last[0] != kind or done < self.last[1]:
            self.before = self.reached  # another piece of work of the same round or step
        self.last = (kind, done)
        self.reached = max(self.reached, self.before + FIRST * (1 - self.before) * done / total)
        words = self.step or {"fit": "training", "sample": "drawing", "evaluate": "scoring"}.get(kind, kind)
        self.bar.update(self.task, completed=self.done + self.span * self.reached, detail=f"{words} {done}/{total}")

    def begin(self, done: float, span: float, detail: str = "getting ready") -> None:
        """A round, or a step of what follows all rounds: where it begins on the bar and how much of that it is."""
        self.done, self.span, self.before, self.reached, self.last = done, span, 0.0, 0.0, ("", 0)
        self.bar.update(self.task, completed=done, detail=detail)


@contextlib.contextmanager
def steps_bar(what: str) -> Iterator[Steps]:
    """A live line on a terminal; elsewhere one line on standard error for every fifth that is done."""
    if not sys.stderr.isatty():
        yield _fifths(what)
        return
    from rich.console import Console

    with live_bar(Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, detail="loading")
        yield lambda done, total: bar.update(task, completed=done, total=total, detail=f"{done}/{total}")


def _fifths(what: str) -> Steps:
    """Says how far it is, at the first step and whenever another fifth is done, and never the same twice."""
    said: set[int] = set()

    def progress(done: int, total: int) -> None:
        if (fifth := 5 * done // max(1, total)) not in said:
            said.add(fifth)
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return progress
