"""``coterie study`` as a person types it; what it does is tested in ``tests/unit/studies``."""

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
