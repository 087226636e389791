"""Runs many coroutines, and does what they wait for in batches. No event loop, no threads, no clock.

Halves of algorithms are written for one client. The trampoline lets every half run until it waits for work, then does
all waiting work of one kind (the kind most wait for) as one batch, and resumes the halves with the answers.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SERVER = "server"
"""Whose work it is that no client asked for."""


@dataclass(frozen=True)
class Work:
    """One batchable piece of work: its kind, whose it is, and what it needs."""

    kind: str
    client: str
    payload: Any

    def __await__(self) -> Generator[Work, Any, Any]:
        return (yield self)


@dataclass(frozen=True)
class Together:
    """Coroutines that run beside each other. The answer maps each key to a result or to the exception it ended in."""

    children: Mapping[str, Coroutine[Any, Any, Any]]

    def __await__(self) -> Generator[Together, Any, dict[str, Any]]:
        answers: dict[str, Any] = yield self
        return answers


DoWork = Callable[[str, Sequence[Work]], Sequence[Any]]
"""Does works of one kind: one answer each, in order; an exception as an answer is raised in that half alone."""


@dataclass
class _Task:
    coroutine: Coroutine[Any, Any, Any]
    parent: _Task | None = None
    key: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    missing: int = 0


def run(root: Coroutine[Any, Any, Any], do: DoWork) -> Any:
    """Runs a coroutine, and all it awaits, to its end; if that is an exception, the others are closed."""
    alive: dict[int, Coroutine[Any, Any, Any]] = {}
    try:
        return _run(root, do, alive)
    finally:
        for coroutine in list(alive.values()):
            coroutine.close()


def _run(root: Coroutine[Any, Any, Any], do: DoWork, alive: dict[int, Coroutine[Any, Any, Any]]) -> Any:
    ready: deque[tuple[_Task, Any]] = deque([(_Task(root), None)])
    alive[id(root)] = root
    waiting: list[tuple[_Task, Work]] = []
    while True:
        while ready:
            task, value = ready.popleft()
            try:
                asked = task.coroutine.throw(value) if isinstance(value, BaseException) else task.coroutine.send(value)
            except StopIteration as end:
                del alive[id(task.coroutine)]
                if task.parent is None:
                    return end.value
                _deliver(task, end.value, ready)
                continue
            except Exception as error:
                del alive[id(task.coroutine)]
                if task.parent is None:
                    raise
                _deliver(task, error, ready)
                continue
            if isinstance(asked, Together):
                task.results, task.missing = dict.fromkeys(asked.children), len(asked.children)
                alive |= {id(child): child for child in asked.children.values()}
                ready.extend((_Task(child, task, key), None) for key, child in asked.children.items())
                if not asked.children:
                    ready.append((task, {}))
            elif isinstance(asked, Work):
                waiting.append((task, asked))
            else:
                ready.append((task, TypeError(f"a half may only await its site or its cohort, not {asked!r}")))
        kind, _ = Counter(work.kind for _, work in waiting).most_common(1)[0]
        batch = sorted(((t, w) for t, w in waiting if w.kind == kind), key=lambda pair: pair[1].client)
        waiting = [(t, w) for t, w in waiting if w.kind != kind]
        answers = do(kind, [work for _, work in batch])
        ready.extend((task, answer) for (task, _), answer in zip(batch, answers, strict=True))


def _deliver(task: _Task, value: Any, ready: deque[tuple[_Task, Any]]) -> None:
    parent = task.parent
    assert parent is not None
    parent.results[task.key] = value
    parent.missing -= 1
    if parent.missing == 0:
        ready.append((parent, parent.results))
