"""One worker process, from inside: it builds its side of a task, then answers what comes through its pipe."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from coterie.core.adapter import Layout
from coterie.core.errors import Halted, UserError
from coterie.core.progress import Progress
from coterie.core.work import Fitted
from coterie.engines.courier import ClientFailed, raise_halted
from coterie.engines.plain import as_bytes, as_tensor, fit_from_plain, told_of
from coterie.engines.site import SiteHost
from coterie.engines.trampoline import SERVER, Together, Work, run
from coterie.engines.workshop import Workshop
from coterie.wire.envelope import Header, pack, unpack


@dataclass(frozen=True)
class Staffed:
    """What a worker process holds after it has started: its bank, its sites, and what it says about them."""

    workshop: Workshop
    hosts: Mapping[str, SiteHost]
    layout: Layout
    hello: Mapping[str, Any]


Staff = Callable[[Mapping[str, Any], int, Progress], "Staffed | Mapping[str, Any]"]
"""Builds a worker's side inside the worker, given a task and the worker's number, or answers a question with plain
values. It must be importable by name."""


def work(pipe: Connection, staff: Staff, number: int, environment: Mapping[str, str]) -> None:
    """A worker process: builds its side of a task, then answers, until the pipe closes.

    ``environment`` is the main process's, which the one that it was forked from may not know.
    """
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    torch.set_num_threads(1)

    def progress(kind: str, done: int, total: int) -> None:
        try:
            pipe.send_bytes(pack(Header(), {"progress": [kind, done, total]}))
        except OSError:
            sys.exit()  # the main process was stopped and needs nothing of this any more

    side: Staffed | None = None
    while True:
        try:
            _, job = unpack(pipe.recv_bytes(), (side.layout,) if side else ())
        except (EOFError, OSError):
            return
        reply: dict[str, Any]
        try:
            if "task" in job:
                side = None  # the old one's memory is free before the new one is built
                made = staff(job["task"], number, progress)
                if isinstance(made, Staffed):
                    side = made
                    reply = {**side.hello, "clients": sorted(side.hosts), "layout": side.layout.as_plain()}
                else:
                    reply = dict(made)
            else:
                assert side is not None
                reply = {"answers": run(_answers(side, job), side.workshop.do)}
        except UserError as error:
            reply = {"error": str(error), "halted": isinstance(error, Halted)}
        try:
            pipe.send_bytes(pack(Header(), reply, standalone=True))
        except OSError:
            return


async def _answers(side: Staffed, job: Mapping[str, Any]) -> dict[str, Any]:
    if "sample" in job:
        requests = [(p, tuple((a, w) for a, w in mix), seed) for p, mix, seed in job["sample"].values()]
        made = await Work("sample", "server", requests)
        sent = [one if isinstance(one, str) else torch.from_numpy(one.copy()) for one in made]
        return dict(zip(job["sample"], sent, strict=True))
    if "fit" in job:
        asked = job["fit"]["job"]
        rows = tuple(asked["rows"]) if isinstance(asked["rows"], list) else asked["rows"]
        fit = fit_from_plain(asked["fit"])
        try:
            done: Fitted = await Work("fit", SERVER, (asked["start"], fit, rows, asked["seed"]))
        except Exception as error:  # a loss that is no number: for the main process to say
            return {"job": _failed(error)}
        return {"job": {"row": done.adapter.row, "told": told_of(done)}}
    if "side" in job:
        asked = job["side"]["job"]
        asked = {key: fit_from_plain(value) if key == "fit" else value for key, value in asked.items()}
        try:
            answer = await Work("side", SERVER, asked)
        except Exception as error:
            return {"job": _failed(error)}
        if isinstance(answer, Fitted):
            answer = {"portion": answer.adapter, "told": told_of(answer)}
        return {"job": {"answer": answer}}
    visits: dict[str, Coroutine[Any, Any, Any]] = {
        client: side.hosts[client].handle(as_bytes(blob)) for client, blob in job["visit"].items()
    }
    replies = await Together(visits)
    raise_halted(replies)
    return {c: _failed(r) if isinstance(r, Exception) else {"blob": as_tensor(r)} for c, r in replies.items()}


def _failed(error: Exception) -> dict[str, str]:
    """An exception as plain values: for the main process to raise."""
    return {"failed": str(error), "kind": getattr(error, "kind", ClientFailed.kind)}
