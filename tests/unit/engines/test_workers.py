"""Worker processes: they begin with the main process's environment as it is then, and end with it."""

import os

from coterie.engines.workers import Workers


def _seen(task, number, progress):
    return {"seen": os.environ.get("COTERIE_TEST_WORD", ""), "pid": os.getpid(), "asked": task["word"]}


def test_each_worker_begins_with_what_the_main_process_has_in_its_environment_by_then(monkeypatch):
    seen = []
    for word in ("first", "second"):
        monkeypatch.setenv("COTERIE_TEST_WORD", word)
        with Workers(_seen, 1) as workers:
            seen.append(workers.ask({"word": word}))
    assert [(one["seen"], one["asked"]) for one in seen] == [("first", "first"), ("second", "second")]
    assert len({os.getpid(), *(one["pid"] for one in seen)}) == 3


def test_they_end_where_they_are_closed_and_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with Workers(_seen, 2) as workers:
        processes = list(workers._processes)
        assert all(process.is_alive() for process in processes)
        assert "OMP_WAIT_POLICY" not in os.environ
    assert not any(process.is_alive() for process in processes)
