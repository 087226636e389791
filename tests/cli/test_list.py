"""``coterie list``: runs in a folder, and what a recipe can name."""

import json
import re
import shutil
from pathlib import Path

import coterie
from coterie.runs.folder import RunFolder
from coterie.runs.offers import SHELVES, offered


def test_every_shelf_of_the_package_is_listed():
    root = Path(coterie.__file__).parent
    declared = {
        package for path in root.rglob("*.py") for package in re.findall(r'Shelf\("(coterie[.\w]+)"', path.read_text())
    }
    assert declared == {shown.shelf.package for shown in SHELVES.values()}


def test_every_thing_says_in_a_sentence_what_it_is():
    for kind in SHELVES:
        for row in offered(kind):
            assert 8 <= len(row["about"]) <= 200, (kind, row)


def test_forms_are_listed_with_what_they_take(typed):
    code, out, err = typed("list", "forms", "--format", "json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert (code, err) == (0, "")
    assert rows["fedavg"]["takes"] == "aggregator, keeping"
    assert rows["sequential"]["sealed"] == "no"
    assert rows["clustered"]["default"] == "yes"


def test_shelves_names_all_words(typed):
    code, out, _ = typed("list", "shelves")
    assert code == 0
    for kind in [*SHELVES, "profiles"]:
        assert kind in out
        assert typed("list", kind)[0] == 0


def test_a_word_that_is_nothing_is_one_line(typed):
    code, _, err = typed("list", "codec")
    assert code == 2
    assert err.strip().splitlines() == ["error: codec: no such folder, and nothing to list; did you mean 'codecs'?"]


def test_runs_are_listed(typed, tiny_runs):
    code, out, _ = typed("list", tiny_runs)
    assert code == 0
    assert "first" in out


def test_a_run_that_is_being_played_is_not_called_stopped(typed, tiny_runs, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(tiny_runs / "first", path)
    (path / "server" / "results.json").unlink()

    def state():
        shown = json.loads(typed("show", path, "--format", "json")[1])["facts"]["state"]
        (row,) = json.loads(typed("list", tmp_path, "--format", "json")[1])
        assert row["state"] == shown
        return shown

    player = RunFolder(path)
    player.lock()
    assert state() == "running"
    assert "not finished; it is running; wait for it" in typed("air", path)[2]
    player.unlock()
    assert state() == f"stopped: coterie run --resume {path}"
    (path / "server" / ".lock").unlink()
    assert state() == f"stopped: coterie run --resume {path}"
    assert not (path / "server" / ".lock").exists()


def test_a_run_whose_control_is_being_played_is_running(typed, tiny_runs, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(tiny_runs / "first", path)
    control = RunFolder(path / "control")
    control.lock()
    assert json.loads(typed("show", path, "--format", "json")[1])["facts"]["state"] == "running"
    control.unlock()
    assert json.loads(typed("show", path, "--format", "json")[1])["facts"]["state"] == "finished"


def test_a_prompt_cannot_pick_from_a_run_that_is_not_finished(typed, tiny_runs, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(tiny_runs / "first", path)
    (path / "server" / "results.json").unlink()
    code, _, err = typed("generate", path, "--prompt", "a fox", "-n", 1, "--steps", 1)
    assert (code, err.strip()) == (2, f"error: {path}: not finished; go on with: coterie run --resume {path}")
