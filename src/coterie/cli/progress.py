"""What a person sees while something runs: one live line, plain lines where there is no terminal, or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


MOST_NAMED = 3  # of what is missing
FIRST = 0.7  # of what is left of a round or step is shown for each piece of its work: nobody knows how many will follow
LAST_STEPS = {
    "keeping": "what each keeps",
    "scoring": "its scores",
    "people": "what each draws",
    "copies": "looking for copies",
    "server": "the last pictures",
}
WHEN = {
    "training": "when training",
    "loading": "when loading the model",
    "encoding": "when encoding pictures",
    "scoring": "when scoring",
    "drawing": "when drawing",
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
            print(f"{_clock(time.monotonic() - self.began)}  {line}", flush=True)

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


MISSING = {"away": "away", "straggler": "too late", "surplus": "not needed"}
"""What is said of answers that are not there because a recipe asks for it, by kind."""


def sentence(event: str, fields: dict[str, Any]) -> str:
    """One event in words; empty for those that only move a bar."""
    control = "control: " if fields.get("arm") == "control" else ""
    if event == "started":
        rounds = fields["rounds"]
        return f"{control}{fields['form']}, {rounds} round{'' if rounds == 1 else 's'}"
    if event == "people":
        return people_sentence(fields)
    if event == "planned" and fields["checkpointing"] is not None:
        ways = ", blocks computed twice" if fields["checkpointing"] else ""
        ways += "" if fields["moments"] == "fp32" else ", moments in 8 bits"
        ways += "" if fields["quantise"] == "none" else f", frozen weights in {fields['quantise']}"
        clients = f"{fields['width']} client{'' if fields['width'] == 1 else 's'} in one pass{ways}"
        when = WHEN[fields["phase"]]
        return f"{clients}: predicted peak {size(fields['peak'])}, {when}; {fields['memory']} allowed"
    if event == "narrower":
        return f"memory ran out: going on with {fields['width']} in one pass, and with blocks computed twice if need be"
    if event == "resumed":
        newer = "".join(f"; skipped, as it cannot be read: {reason}" for reason in fields["broken"])
        return f"{control}going on after round {fields['round']}{newer}"
    if event == "client_failed" and fields.get("kind") in MISSING:
        return ""  # what a recipe asks for, and said together with the round
    if event == "client_failed":
        return f"{control}{fields['client']} failed in round {fields['round']}: {fields['reason']}"
    if event == "round_void":
        return f"{control}nothing changes: {fields['reason']}"
    if event == "round_done":
        from coterie.report.lives import happened, others  # a run has loaded all that it needs, other commands have not

        loss = "" if fields["loss"] is None else f"  held-out loss {fields['loss']:.4f}"
        loss += f" ({others(fields['scored'])})" if "scored" in fields else ""
        what = round_name(fields["round"])
        groups = len(set(fields["clusters"].values()))
        found = f"  {groups} group{'' if groups == 1 else 's'} found" if fields["round"] == 0 and groups else ""
        alone = int(fields["numbers"].get("group/loners", 0)) if found else 0
        found += f", {alone} of one person" if alone else ""
        moved = f"  up {size(fields['up_bytes'])}  down {size(fields['down_bytes'])}"
        moved += f"  across {size(fields['across_bytes'])}" if "across_bytes" in fields else ""
        absent = "".join(f"  {n} {MISSING[kind]}" for kind, n in fields.get("failed", {}).items() if kind in MISSING)
        lived = f"  {said}" if (said := happened(fields)) else ""
        return f"{control}{what:<10}{loss}{moved}  {fields['seconds']:.1f} s{found}{absent}{lived}"
    if event == "finishing":
        return f"{control}finishing: what each keeps, its scores, the last pictures"
    if event == "sink_failed":
        return f"{control}warning: {fields['sink']}: {fields['reason']}; the run goes on as it is"
    if event == "finished":
        used = f", {size(fields['peak'])} of memory at most" if fields.get("peak") else ""
        return f"{control}done in {_clock(fields['seconds'])}{used}"
    if event == "report":
        return f"report: {fields['path']}"
    if event == "next":
        return f"to use an adapter elsewhere: {fields['command']}"
    return ""


def people_sentence(fields: dict[str, Any]) -> str:
    """How many pictures there are, and which of them or of their owners will be missing somewhere."""
    count, who = fields["clients"], fields["who"]
    who = {"folders": "folder", "people": "person"}.get(who, who) if count == 1 else who
    what = fields.get("what", "pictures")
    said = f"{count} {who}, {fields['train']} {what} to learn from, {fields['held_out']} held out"
    if fields["skipped"]:
        some = "; ".join(f"{name}: {reason}" for name, reason in fields["skipped"][:MOST_NAMED])
        more = len(fields["skipped"]) - MOST_NAMED
        said += f"; {len(fields['skipped'])} skipped ({some}{f'; and {more} more' if more > 0 else ''})"
    if fields["unscored"]:
        some = ", ".join(fields["unscored"][:MOST_NAMED])
        more = len(fields["unscored"]) - MOST_NAMED
        said += f"; not scored, as no {what[:-1]} is held out of them: {some}{f' and {more} more' if more > 0 else ''}"
    return "".join([said, *(f"\n      hint: {hint}" for hint in fields["hints"])])


def round_name(number: int) -> str:
    """Round 0 is enrolment."""
    return f"round {number}" if number else "enrolment"


def size(num_bytes: float) -> str:
    """Decimal bytes in words: ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.2f} GB"


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
        left = _clock((self.budget - point[self.what]) / max(rate, 1e-9))
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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
