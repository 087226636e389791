"""``coterie study`` as a person types it; what it does is tested in ``tests/unit/studies``."""

import re
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


def test_a_list_of_a_shipped_study_without_its_data(typed):
    code, out, err = typed("study", RECIPES / "emoji.toml", "--list", "--setting", "standard", "--seeds", "0")
    assert (code, err) == (0, "")
    assert "  fedavg told the wish: 1 x " in out
    assert "H1: Clusters beat random clusters" in out
    assert "of one core" in out.splitlines()[-1]
    assert "not measured" not in out


def test_a_study_of_minutes_is_not_one_of_no_hours(typed):
    code, out, _ = typed("study", RECIPES / "emoji.toml", "--list", "--arms", "base", "--seeds", "0")
    assert code == 0
    assert re.search(r"^in all about \d+(\.\d)? min of one core, \d+(\.\d)? min on the \d+ of this", out, re.MULTILINE)
    assert " 0.0 min" not in out.splitlines()[-1]


def test_a_study_and_a_recipe_are_told_apart_in_one_line(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, recipe = RECIPES / "emoji.toml", RECIPES / "readers.toml"
    said = f"error: {study}: arms: this is a study, not a recipe; play it with: coterie study {study}"
    for words in (["run", study], ["recipe", "show", study], ["doctor", study]):
        code, _, err = typed(*words)
        assert (code, err.strip()) == (2, said)
    code, _, err = typed("study", recipe)
    assert code == 2
    assert re.fullmatch(
        rf"error: {recipe}: \w+: this is a recipe, not a study; play it with: coterie run {recipe}", err.strip()
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.toml"], "no such study"),
        (["emoji.tom"], "did you mean 'emoji.toml'?"),
        (["emoji.toml", "--setting", "fast"], "no setting is called 'fast'"),
        (["emoji.toml", "--arms", "orakel"], "no arm is called 'orakel'; did you mean 'oracle'?"),
        (["emoji.toml", "--seeds", "one"], "--seeds one: wanted whole numbers with commas between, like 0,1,2"),
        (["emoji-people.toml"], "unknown key"),
    ],
)
def test_mistakes_are_lines_and_exit_code_2(typed, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = typed("study", RECIPES / words[0], *words[1:])
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_data_that_is_not_there_is_one_line(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = typed("study", RECIPES / "emoji.toml", "--data", tmp_path / "nothing")
    assert code == 2
    assert "crawl_tiles_32.parquet: no such file; say where the data lies with --data DIR" in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_study_that_was_refused_leaves_what_lay_there(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    assert typed("study", RECIPES / "emoji.toml", "--data", tmp_path / "nothing", "--out", "mine/new/one")[0] == 2
    assert typed("study", RECIPES / "emoji.toml", "--data", tmp_path / "nothing", "--out", "mine")[0] == 2
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["notes.txt"]
    assert not (tmp_path / "mine" / "new").exists()
