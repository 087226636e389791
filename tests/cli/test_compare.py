import json

import pytest

from coterie.runs.compare import differing


def test_runs_side_by_side_and_people_paired(typed, tiny_runs):
    first, rate = tiny_runs / "first", tiny_runs / "rate"
    code, out, _ = typed("compare", first, rate, "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert [row["key"] for row in found["keys"]] == ["form.fit.rate"]
    assert found["keys"][0][str(rate)] == 0.01
    (pair,) = found["pairs"]
    assert pair["refused"] is None
    assert pair["n"] == 3 == len(pair["people"])
    assert pair["mean"] == pytest.approx(sum(pair["people"].values()) / 3)
    assert pair["low"] <= pair["mean"] <= pair["high"]
    one, other = found["runs"]
    results = json.loads((first / "server/results.json").read_text())
    own = [s["loss"] for s in results["history"] if s["test"] == "own" and s["adapter"] == "base"]
    assert one["bare"] == pytest.approx(sum(own) / len(own))
    assert one["bare"] == other["bare"]
    assert other["removed"] - one["removed"] == pytest.approx(pair["mean"])
    assert one["up_bytes"] == sum(row[6] for row in results["bytes"] if row[2] == "up")
    code, out, _ = typed("compare", first, rate)
    assert "form.fit.rate" in out
    assert "n = 3 people" in out
    assert "95 % interval" in out


@pytest.mark.parametrize(("other", "why"), [("seed", "seed is 0 and 1"), ("backbone", "backbone.seed is 0 and 1")])
def test_other_pictures_or_another_backbone_are_not_paired(typed, tiny_runs, other, why):
    code, out, _ = typed("compare", tiny_runs / "first", tiny_runs / other)
    assert code == 0
    assert out.count("\n") > 5
    (line,) = [line for line in out.splitlines() if "not paired" in line]
    assert line.endswith(why)


def test_changed_pictures_behind_the_same_recipe_are_noticed(typed, tiny_runs, tmp_path):
    import shutil

    shutil.copytree(tiny_runs / "first", tmp_path / "changed")
    file = tmp_path / "changed/server/results.json"
    results = json.loads(file.read_text())
    for score in results["history"]:
        score["loss"] *= 1.1
    file.write_text(json.dumps(results))
    _, out, _ = typed("compare", tiny_runs / "first", tmp_path / "changed")
    assert "so the pictures do" in out
    file.unlink()
    _, out, _ = typed("compare", tiny_runs / "first", tmp_path / "changed")
    assert "is not finished; go on with" in out


def test_one_run_and_no_run_are_told(typed, tiny_runs, tmp_path):
    first = tiny_runs / "first"
    for words, wanted in (((first,), "two or more"), ((first, first), "once"), ((first, tmp_path), "not a run")):
        code, _, err = typed("compare", *words)
        assert code == 2
        assert wanted in err
        assert err.count("\n") == 1


def test_a_key_that_one_recipe_lacks_is_shown():
    found = differing({"a": {"form": {"name": "x", "k": 2}}, "b": {"form": {"name": "y"}}})
    assert found == [{"key": "form.name", "a": "x", "b": "y"}, {"key": "form.k", "a": 2, "b": None}]
