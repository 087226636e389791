import json

import numpy as np
import pytest
from PIL import Image

from coterie.runs.compare import differing
from coterie.runs.reading import read_recipe
from coterie.runs.run import start


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


@pytest.fixture
def moved_data(tiny, tmp_path, monkeypatch):
    """Starts a run on pictures of a folder, with keys changed; gives the folder of the run."""
    rng = np.random.default_rng(0)
    for place in ("a/pics", "b/other"):
        (tmp_path / place).mkdir(parents=True)
    for i in range(8):
        made = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
        for place in ("a/pics", "b/other"):
            made.save(tmp_path / place / f"{i}.png")
            (tmp_path / place / f"{i}.txt").write_text(f"thing {i}")
    monkeypatch.chdir(tmp_path)

    def started(name, path, *more):
        source = ("data.source.name=image_folder", f"data.source.path={path}", *more)
        start(read_recipe(None, [*tiny, "data.num_clients=2", "form.name=fedavg", *source]), tmp_path / name)
        return tmp_path / name

    return started


def test_the_same_pictures_elsewhere_are_paired_and_other_ones_are_not(typed, moved_data, tmp_path):
    def told(*runs):
        code, out, _ = typed("compare", *runs)
        assert code == 0
        return out

    here = moved_data("here", "a/pics")
    assert "n = 2 people" in told(here, moved_data("there", "b/other"))
    # told otherwise, the losses cannot say whether the pictures are the same: then the names of their folders do
    wish = ("data.prompt=wish",)
    assert "data.source.path is pics and other" in told(here, moved_data("told", "b/other", *wish))
    (tmp_path / "b" / "other").rename(tmp_path / "b" / "pics")
    assert "n = 2 people" in told(here, moved_data("named", "b/pics", *wish))
    for picture in (tmp_path / "b" / "pics").glob("*.png"):
        Image.open(picture).transpose(Image.Transpose.ROTATE_90).save(picture)
    assert "so the pictures do" in told(here, moved_data("turned", "b/pics"))


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
