"""Passes on to sinks what a run tells: each in a thread of its own, so that none can stop the run or change it.

What is passed on: of each round the mean held-out loss, seconds, bytes and number of groups, and the form's numbers;
at the end everybody's losses under their ids; and the sheets that the server draws. Never a caption, a wish, a picture
of a person or a reason why something failed.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coterie.core.errors import UserError
from coterie.core.shelf import shelf_name
from coterie.engines.disk import write_bytes
from coterie.models.png import sheet
from coterie.runs.losses import mean_losses, own_losses
from coterie.runs.sink import Log, Opening, Sink

ROOM = 64  # messages that wait for a slow sink; what comes after is dropped
PATIENCE = 20.0  # seconds that a finished run waits for all its sinks
EXTRAS = ("mlflow", "tensorboard", "trackio", "wandb")


class Message(NamedTuple):
    """Numbers of one step, and where the server's pictures of it lie: folders of numbered files."""

    step: int
    scalars: Mapping[str, float]
    picture: str = ""
    folders: tuple[Path, ...] = ()


class Outlet:
    """One sink and its thread.

    Args:
        sink: its settings.
        opening: what it is told first; ``last_step`` is read from the run folder.
        room: messages that may wait.
    """

    def __init__(self, sink: Sink, opening: Opening, room: int = ROOM) -> None:
        self.sink, self.name = sink, shelf_name(sink)
        self.failure = ""
        self.told = False
        self.dropped = 0
        self._state = opening.folder / "sinks" / f"{self.name}.json"
        last = _last_step(self._state)
        self._opening = Opening(opening.name, opening.key, last, opening.folder, opening.settings)
        self._last = last
        self._waiting: queue.Queue[Message | None] = queue.Queue(room)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"sink {self.name}", daemon=True)
        self._thread.start()

    def put(self, message: Message | None) -> None:
        """Leaves a message, or drops it if there is no room; never waits."""
        if self.failure or self._done.is_set():
            return
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self.dropped += message is not None

    def wait(self, until: float) -> bool:
        """Whether everything was passed on, at the latest at a moment of ``time.monotonic``."""
        while not self._done.is_set():
            try:
                self._waiting.put(None, timeout=max(0.0, min(0.2, until - time.monotonic())))
                break
            except queue.Full:
                if time.monotonic() >= until:
                    return False
        return self._done.wait(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        try:
            log = self.sink.open(self._opening)
            try:
                while (message := self._waiting.get()) is not None:
                    self._pass_on(log, message)
            finally:
                log.close()
        except BaseException as error:  # also a tool's SystemExit: nothing of it may reach the run
            self.failure = reason_of(error, self.name)
        finally:
            self._done.set()

    def _pass_on(self, log: Log, message: Message) -> None:
        if message.step <= self._last:  # told before the run was stopped
            return
        log.scalars(message.scalars, message.step)
        if self.sink.pictures and (page := sheet_of(message.folders)) is not None:
            log.picture(message.picture, page, message.step)
        self._last = message.step
        write_bytes(self._state, json.dumps({"last_step": message.step}).encode())


class Forwarder:
    """All sinks of a run. ``hear`` and ``finish`` are called where the run runs, and so is ``tell``.

    Args:
        sinks: of the recipe.
        opening: what they are told first.
        tell: called once for each sink that fails, with ``sink_failed``, its name and why.
    """

    def __init__(self, sinks: Sequence[Sink], opening: Opening, tell: Callable[..., None]) -> None:
        self.tell, self.folder = tell, opening.folder
        self.outlets = [Outlet(sink, opening) for sink in sinks]

    def hear(self, event: str, fields: Mapping[str, Any]) -> None:
        """Passes on what is meant for sinks, and tells of those that failed since."""
        if event == "round_done":
            drawn = sorted((self.folder / "pictures" / "rounds" / f"{fields['round']:03d}").glob("*"))
            self._put(Message(fields["round"], of_round(fields), "pictures/rounds", tuple(drawn)))
        if event != "sink_failed":
            self._complain()

    def finish(self, results: Mapping[str, Any]) -> None:
        """Passes on the end of a run; ``results`` is what ``results.json`` holds."""
        places = [self.folder / "pictures" / "base", *sorted((self.folder / "pictures").glob("*"))]
        drawn = [place for place in dict.fromkeys(places) if place.name not in ("rounds", "hybrid")]
        self._put(Message(results["rounds"] + 1, of_end(results), "pictures/end", tuple(drawn)))

    def close(self, patience: float | None = None) -> None:
        """Waits for all together, at most so many seconds (``PATIENCE``), and tells what was lost."""
        until = time.monotonic() + (PATIENCE if patience is None else patience)
        for outlet in self.outlets:
            if not outlet.wait(until) and not outlet.failure:
                outlet.failure = "it was still busy at the end; not all was passed on"
        self._complain()
        for outlet in self.outlets:
            if outlet.dropped:
                self.tell("sink_failed", sink=outlet.name, reason=f"too slow: {outlet.dropped} rounds were left out")

    def _put(self, message: Message) -> None:
        for outlet in self.outlets:
            outlet.put(message)

    def _complain(self) -> None:
        for outlet in self.outlets:
            if outlet.failure and not outlet.told:
                outlet.told = True
                self.tell("sink_failed", sink=outlet.name, reason=outlet.failure)


def of_round(fields: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of one round, from the event ``round_done``."""
    found = {
        "held_out/loss/mean": fields["loss"],
        "round/seconds": fields["seconds"],
        "wire/up_bytes": fields["up_bytes"],
        "wire/down_bytes": fields["down_bytes"],
        "clusters": len(set(fields["clusters"].values())),
        **{f"form/{key}": value for key, value in fields["numbers"].items()},
    }
    return {key: float(value) for key, value in found.items() if isinstance(value, (int, float))}


def of_end(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a finished run: the mean losses of people's own pictures, then each person's."""
    losses = own_losses(results)
    mean = mean_losses(losses)
    people = {f"person/{client}": loss for client, loss in losses.items()}
    lines = {**({"end/loss/mean": mean} if mean else {}), **people}
    return {f"{name}/{what}": value for name, loss in lines.items() for what, value in loss._asdict().items()}


def sheet_of(folders: Sequence[Path]) -> NDArray[np.uint8] | None:
    """One row for each folder of numbered pictures, or None where none was drawn."""
    rows = []
    for folder in folders:
        files = sorted(folder.glob("*.png"))
        rows.append([np.asarray(Image.open(file).convert("RGB")) for file in files])
    rows = [row for row in rows if row]
    return sheet(rows) if rows else None


def reason_of(error: BaseException, name: str) -> str:
    """Why a sink failed, in one short line, with what would help if its package is missing."""
    first = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, ImportError) and name in EXTRAS:
        return f'{first or "its package is missing"}; pip install "coterie[{name}]"'
    return first[:200] if isinstance(error, UserError) else f"{type(error).__name__}: {first}"[:200]


def _last_step(path: Path) -> int:
    try:
        return int(json.loads(path.read_text())["last_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1
