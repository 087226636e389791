"""The courier to worker processes: one torch thread each, a client always in the same worker, batches inside a worker.

The server's halves run in the main process, which holds no backbone. Requests and replies are the same packed bytes as
in one process, so bytes and bits are the same too; they travel through pipes, as envelopes, never as pickles.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from coterie.core.adapter import Adapter, Layout
from coterie.core.errors import Halted, UserError
from coterie.core.progress import Progress, unheard
from coterie.core.work import Fit, Fitted
from coterie.engines.courier import ClientFailed
from coterie.engines.devices import Away, Straggler
from coterie.engines.plain import as_bytes, as_tensor, fit_as_plain
from coterie.engines.trampoline import Work
from coterie.engines.worker import Staff, work
from coterie.wire.envelope import Header, pack, unpack

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

KINDS = {failure.kind: failure for failure in (ClientFailed, Away, Straggler)}


class Workers:
    """Processes that hold the sites; use as a context manager. They have nothing to do until ``begin``.

    Args:
        staff: builds a worker's side for a task; called in the worker.
        count: of processes.
        progress: called with a kind of work, steps done and steps in all, summed over workers.
        libraries: names of modules that every worker will need.
    """

    link = "memory"

    def __init__(
        self,
        staff: Staff,
        count: int,
        progress: Progress = unheard,
        libraries: Sequence[str] = (),
    ) -> None:
        self.progress = progress
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        self._seats: dict[str, int] = {}
        self._steps: dict[int, tuple[int, int]] = {}
        context = _context((staff.__module__, *libraries))
        # Spinning threads of several processes on few cores starve each other; read before torch is imported.
        environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
        before = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        try:
            for number in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, staff, number, dict(os.environ)), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)
        finally:
            for key, value in before.items():
                os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)

    def begin(self, task: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Gives every worker its part of a task, in place of an earlier one, and returns what they say about it.

        Args:
            task: plain values, as the envelope carries them.

        Raises:
            UserError: what a worker found wrong.
        """
        for pipe in self._pipes:
            pipe.send_bytes(pack(Header(), {"task": dict(task)}))
        hellos = [self._receive(pipe, number) for number, pipe in enumerate(self._pipes)]
        self._seats = {client: number for number, hello in enumerate(hellos) for client in hello["clients"]}
        self.layout = Layout.from_plain(hellos[0]["layout"])
        return hellos

    def ask(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first worker's answer to a task that is a question. All are asked: what they load, they need later.

        Raises:
            UserError: what a worker found wrong.
        """
        for pipe in self._pipes:
            pipe.send_bytes(pack(Header(), {"task": dict(task)}))
        first, *_ = [self._receive(pipe, number) for number, pipe in enumerate(self._pipes)]
        return first

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=2)
            if process.is_alive():
                process.kill()
                process.join()

    async def visit(self, client: str, request: bytes) -> bytes:
        reply: bytes = await Work("visit", client, request)
        return reply

    def do(self, kind: str, works: Sequence[Work]) -> Sequence[Any]:
        """Sends works to the workers of their clients and waits for all answers; the server's own go to the first."""
        if kind == "visit":
            lost = [w.client for w in works if w.client not in self._seats]
            items = {w.client: as_tensor(w.payload) for w in works if w.client not in lost}
            answers = self._exchange({"visit": items})
            return [answers.get(w.client, ClientFailed(f"there is no client called {w.client!r}")) for w in works]
        if kind == "fit":
            return [self._trained(*work.payload) for work in works]
        if kind == "side":
            return [self._at_side(work.payload) for work in works]
        # The server's pictures or texts: the requests are shared out evenly, each worker's in order.
        flat = [request for w in works for request in w.payload]
        answers = self._exchange({"sample": flat})
        made = iter([answers[str(i)] for i in range(len(flat))])
        own = [[next(made) for _ in w.payload] for w in works]
        return [some if isinstance(some[0], str) else np.stack(some) for some in own]

    def _trained(self, start: Adapter, fit: Fit, rows: Any, seed: int) -> Fitted | Exception:
        """The server's own training, in the first worker: this process holds no backbone."""
        job = {
            "start": start,
            "fit": fit_as_plain(fit),
            "rows": list(rows) if isinstance(rows, tuple) else rows,
            "seed": seed,
        }
        answer = self._exchange({"fit": {"job": job}})["job"]
        if isinstance(answer, Exception):
            return answer
        return Fitted(Adapter(start.layout, answer["row"]), **answer["told"])

    def _at_side(self, asked: Mapping[str, Any]) -> Any:
        """The server's side of a split model is in the first worker too."""
        plain = {key: fit_as_plain(value) if isinstance(value, Fit) else value for key, value in asked.items()}
        answer = self._exchange({"side": {"job": plain}})["job"]
        if isinstance(answer, Mapping) and "portion" in answer:
            return Fitted(answer["portion"], **answer["told"])
        return answer

    def _exchange(self, job: Mapping[str, Any]) -> dict[str, Any]:
        (kind, items), count = next(iter(job.items())), len(self._pipes)
        asked: dict[Connection, int] = {}
        for number, pipe in enumerate(self._pipes):
            if kind == "visit":
                share: Any = {c: blob for c, blob in items.items() if self._seats[c] == number}
            elif kind in ("fit", "side"):
                share = items if number == 0 else {}
            else:
                mine = range(number, len(items), count)
                share = {
                    str(i): [p, [[a, w] for a, w in mix], seed] for i, (p, mix, seed) in enumerate(items) if i in mine
                }
            if share:
                pipe.send_bytes(pack(Header(), {kind: share}, standalone=True))
                asked[pipe] = number
        answers: dict[str, Any] = {}
        self._steps = {}
        while asked:
            for ready in wait(list(asked)):
                assert isinstance(ready, Connection)
                pipe = ready
                message = self._receive(pipe, asked[pipe])
                if "progress" in message:
                    name, done, total = message["progress"]
                    self._steps[asked[pipe]] = (done, total)
                    self.progress(
                        name, sum(d for d, _ in self._steps.values()), sum(t for _, t in self._steps.values())
                    )
                    continue
                del asked[pipe]
                answers |= {key: _answer(value) for key, value in message["answers"].items()}
        return answers

    def _receive(self, pipe: Connection, number: int) -> dict[str, Any]:
        try:
            _, message = unpack(pipe.recv_bytes())
        except (EOFError, OSError) as error:
            self._processes[number].join(timeout=2)
            code = self._processes[number].exitcode
            why = (
                "it was killed; perhaps memory ran out, try --set engine.memory=2GB"
                if code == -9
                else f"exit code {code}"
            )
            raise Halted(f"a worker process ended: {why}") from error
        if "error" in message:
            raise (Halted if message["halted"] else UserError)(message["error"])
        return dict(message)


def _answer(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        return value.numpy()
    if "failed" in value:
        return KINDS[value["kind"]](value["failed"])
    if "row" in value:
        return value
    if "answer" in value:
        return value["answer"]
    return as_bytes(value["blob"])


def _context(libraries: Sequence[str]) -> ForkServerContext | SpawnContext:
    """How processes begin: forked from one that has imported the libraries and done nothing yet, where a system can.

    They begin sooner so, and what was imported is in memory once for all of them. That one is begun once and goes with
    the main process; what is asked for later is imported by each.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(libraries))
    return context
