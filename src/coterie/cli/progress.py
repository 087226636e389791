"""What a person sees while something runs: one live line, plain lines where there is no terminal, or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol


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

    def tell(self, event: str, **fields: Any) -> None:
        line = sentence(event, fields)
        if line:
            print(f"{_clock(time.monotonic() - self.began)}  {line}", flush=True)

    def progress(self, kind: str, done: int, total: int) -> None:
        return None


class Live:
    """A line with time left for the whole run, and a line that stays for each finished round."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=self.console, transient=True,
        )  # fmt: skip
        self.done = 0.0
        self.task: Any = None

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def tell(self, event: str, **fields: Any) -> None:
        if event == "started":
            self.done, what = 0.0, "control" if fields.get("arm") == "control" else fields["form"]
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(what, total=fields["rounds"] + 2.0, detail="getting ready")
        elif event == "round_started" and self.task is not None:
            self.done = float(fields["round"])
            self.bar.update(self.task, completed=self.done, detail=f"round {fields['round']}")
        elif event == "finishing" and self.task is not None:
            self.done += 1
            self.bar.update(self.task, completed=self.done, detail="keeping and drawing")
        line = sentence(event, fields)
        if line:
            self.console.print(line, highlight=False)

    def progress(self, kind: str, done: int, total: int) -> None:
        if self.task is None or not total:
            return
        words = {"fit": "training", "sample": "drawing", "evaluate": "scoring"}.get(kind, kind)
        share = done / total
        self.bar.update(self.task, completed=self.done + 0.9 * share, detail=f"{words} {done}/{total}")


def sentence(event: str, fields: dict[str, Any]) -> str:
    """One event in words; empty for those that only move a bar."""
    control = "control: " if fields.get("arm") == "control" else ""
    if event == "started":
        return f"{control}{fields['form']}, {fields['rounds']} rounds"
    if event == "resumed":
        return f"{control}going on after round {fields['round']}"
    if event == "client_failed":
        return f"{control}{fields['client']} failed in round {fields['round']}: {fields['reason']}"
    if event == "round_done":
        loss = "" if fields["loss"] is None else f"  held-out loss {fields['loss']:.4f}"
        what = "enrolment" if fields["round"] == 0 else f"round {fields['round']}"
        groups = len(set(fields["clusters"].values()))
        found = f"  {groups} groups found" if fields["round"] == 0 and groups else ""
        moved = f"  up {size(fields['up_bytes'])}  down {size(fields['down_bytes'])}"
        return f"{control}{what:<10}{loss}{moved}  {fields['seconds']:.1f} s{found}"
    if event == "finished":
        return f"{control}done in {_clock(fields['seconds'])}"
    if event == "report":
        return f"report: {fields['path']}"
    return ""


def size(num_bytes: float) -> str:
    """Decimal bytes in words: ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.2f} GB"


class PretrainingBar:
    """Prints a line for each evaluation, with the time left."""

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        self.first: dict[str, Any] | None = None

    def __call__(self, point: dict[str, Any]) -> None:
        first = self.first = self.first or {"pictures": 0, "seconds": 0.0}
        rate = (point["pictures"] - first["pictures"]) / max(1e-9, point["seconds"] - first["seconds"])
        left = _clock((self.pictures - point["pictures"]) / max(rate, 1e-9))
        print(
            f"{point['pictures']:>9,} of {self.pictures:,} pictures  train {point['train']:.4f}  "
            f"held out {point['held_out']:.4f}  {rate:.0f}/s  {left} left",
            flush=True,
        )


def pretraining_bar(pictures: int) -> Callable[[dict[str, Any]], None]:
    """What ``coterie pretrain`` tells."""
    return PretrainingBar(pictures)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
