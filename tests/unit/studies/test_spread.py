"""Runs side by side: all are done, a mistake ends them with its own words, and a killed parent takes them along."""

import os
import signal
import subprocess
import sys
import time

import pytest

from coterie.core.errors import UserError
from coterie.studies.playing import spread


def _noted(folder, name):
    (folder / name).write_text(str(os.getpid()))
    return name


def _wrong(folder, name):
    raise UserError(f"{name}: wrong")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done_and_told(tmp_path, workers):
    said = []
    call = os.path.basename if workers == 2 else None
    if call is not None:  # a function that a fresh process can import
        spread(call, [("a/one",), ("a/two",), ("a/three",)], "jobs", said.append, workers)
        assert {line.split(", ")[1].split(";")[0] for line in said} == {"one", "two", "three"}
    else:
        spread(_noted, [(tmp_path, name) for name in ("one", "two", "three")], "jobs", said.append, workers)
        assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "three"}
    assert [line.split(",")[0] for line in said] == [f"jobs: {k} of 3" for k in (1, 2, 3)]
    assert said[-1].endswith("about 0 min left")


def test_a_mistake_keeps_its_words(tmp_path):
    with pytest.raises(UserError, match="one: wrong"):
        spread(_wrong, [(tmp_path, "one")], "jobs", print, 1)


def test_workers_end_with_a_killed_parent():
    code = (
        "import time\nfrom coterie.studies.playing import spread\n"
        "if __name__ == '__main__':\n"
        "    spread(time.sleep, [(60,), (60,)], 'jobs', print, 2)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        workers = _until(lambda: [w for w in _children(parent.pid) if "spawn_main" in _command(w)], 2)
        time.sleep(1)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 60
    while any("spawn_main" in _command(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived the process that started it"
        time.sleep(0.2)


def _until(found, count):
    deadline = time.monotonic() + 120
    while len(found()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found()


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""
