"""A whole study in seconds: stopped, gone on with, changed after registration; its page and its complaints."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coterie.core.errors import UserError
from coterie.studies import playing
from coterie.studies.chosen import chosen
from coterie.studies.registration import code_digest
from coterie.studies.study import listing, study

GUIDE = Path(__file__).parents[3] / "docs/how-to/run-a-study.md"


def results_of(folder):
    """All committed results without what differs from time to time."""
    found = {path.name: json.loads(path.read_text()) for path in sorted((folder / "results").glob("*.json"))}
    for result in found.values():
        del result["seconds"]
        for done in result["rounds"]:
            del done["seconds"]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data, written):
    """A study that was never stopped."""
    folder, said = tmp_path_factory.mktemp("whole"), []
    picked = chosen(written(folder), "quick", data)
    page = study(picked, folder / "out", folder / "pages", tell=said.append, workers=1)
    return folder, page, said


def test_every_arm_is_played_and_what_there_is_not_is_said_in_one_line(whole):
    folder, page, said = whole
    arms = {json.loads(p.read_text())["arm"] for p in (folder / "out/results").glob("*.json")}
    assert arms == {"base", "local", "fedavg", "told", "oracle", "own last"}
    assert any("the arm 'from the future' is not available and left out: form.name: no form" in line for line in said)
    assert any("min left" in line for line in said)
    text = page.read_text()
    assert "not available: **from the future**" in text
    assert "| H2 |" in text
    assert "**not measured**" in text
    assert "## What a reader may and may not conclude" in text
    assert text.rstrip().endswith("*By hand:* these are noise.")


def test_the_page_says_what_was_registered_and_its_files_can_be_opened(whole):
    folder, page, _ = whole
    registration = json.loads((folder / "out/registration.json").read_text())
    assert registration["digest"] in page.read_text()
    assert f"played with one state of the code, `{code_digest()}`" in page.read_text()
    assert re.search(r"^\| told \| [\d.e-]+ \| as fedavg \|", page.read_text(), re.MULTILINE)
    assert [h["name"] for h in registration["hypotheses"]] == ["H1", "H2"]
    assert set(registration["inputs"]) == {"people.toml", "red.parquet", "dots.parquet", "public.parquet"}
    for name in ("tiny-arms.svg", "tiny-hypotheses.svg", "tiny-rounds.svg"):
        ET.parse(page.parent / name)
        assert name in page.read_text()
    with Image.open(page.parent / "tiny-pictures.png") as opened:
        assert opened.size[0] > 8 * 35  # nine pictures and the names of the arms
    numbers = json.loads((page.parent / "tiny.json").read_text())
    assert {row["name"]: row["removed"] for row in numbers["arms"]}["base"] == [0.0]
    assert numbers["verdicts"][0]["outcome"] in ("supported", "not supported")


def test_the_same_budget_and_the_same_prompts_for_all(whole):
    folder, _, _ = whole
    results = results_of(folder / "out")
    assert len(results["own-last-seed-0.json"]["rounds"]) == 1  # of two: the last is one's own
    base, told = results["base-seed-0.json"], results["told-seed-0.json"]
    assert base["people"].keys() == told["people"].keys() == {"ann", "ben", "cat", "dan", "eve"}
    assert base["people"]["eve"]["apart"] == "two wishes"
    assert set(base["styles"]) == {"red", "dots"}
    for result in results.values():
        assert {name: p.get("drawn") for name, p in result["people"].items()} == {
            "ann": 2, "ben": 2, "cat": 2, "dan": 2, "eve": None,
        }  # fmt: skip
    with (
        np.load(folder / "out/runs/base-seed-0/drawn.npz") as one,
        np.load(folder / "out/runs/local-seed-0/drawn.npz") as other,
    ):
        assert set(one.files) == {"red", "dots", "apart eve"}
        assert one["red"].shape == other["red"].shape == (4, 16, 16, 3)


def carried(out, other):
    """What the guide says is enough to go on elsewhere."""
    (wanted,) = re.findall(r"tar czf \S+ ((?:\S+ )*\S+)$", GUIDE.read_text(), re.MULTILINE)
    for path in (path for pattern in wanted.split() for path in out.glob(pattern)):
        aim = other / path.relative_to(out)
        aim.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, aim)
    assert not list(other.glob("**/sites"))
    return other


def test_stopped_anywhere_it_goes_on_to_the_same_numbers(whole, recipe, data, tmp_path, monkeypatch):
    """A study that is stopped after each commit, once between playing and measuring, and goes on in another folder."""
    folder, _, _ = whole
    picked, out, pages = chosen(recipe, "quick", data), tmp_path / "out", tmp_path / "pages"
    commit, done = playing.write_bytes, []

    def once(path, value):
        commit(path, value)
        if path.parent.name == "results" and path not in done:
            done.append(path)
            raise KeyboardInterrupt

    from coterie.studies import measuring

    real = measuring.measured
    monkeypatch.setattr(playing, "write_bytes", once)
    monkeypatch.setattr(measuring, "measured", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        study(picked, out, pages, workers=1)
    assert not done
    monkeypatch.setattr(measuring, "measured", real)
    for count in range(1, 4):
        with pytest.raises(KeyboardInterrupt):
            study(picked, out, pages, workers=1)
        assert len(done) == count
    out = carried(out, tmp_path / "elsewhere")
    monkeypatch.setattr(playing, "write_bytes", commit)
    page = study(picked, out, pages, workers=1)
    mine, theirs = results_of(out), results_of(folder / "out")
    for result in (*mine.values(), *theirs.values()):
        result.pop("digest")  # of another folder's file of people: the same words
    assert mine == theirs
    assert page.is_file()


def test_a_study_that_changed_after_registration_has_no_verdicts(recipe, data, tmp_path):
    out, pages = tmp_path / "out", tmp_path / "pages"
    page = study(chosen(recipe, "quick", data), out, pages, ["fedavg"], workers=1)
    assert "Withheld" not in page.read_text()
    before = (out / "registration.json").read_bytes()
    recipe.write_text(recipe.read_text().replace('better = "oracle"', 'better = "fedavg"\nmargin = 0.0'))
    said = []
    page = study(chosen(recipe, "quick", data), out, pages, ["fedavg"], tell=said.append, workers=1)
    assert "**Withheld: the study has changed since it was registered" in page.read_text()
    assert "| H1 |" not in page.read_text()
    assert any("verdicts will be withheld" in line for line in said)
    assert (out / "registration.json").read_bytes() == before


def test_rates_and_steps_are_chosen_on_validation_subjects_and_kept(recipe, data, tmp_path):
    out = tmp_path / "out"
    page = study(chosen(recipe, "more", data), out, tmp_path / "pages", ["local"], [1], workers=1)
    chosen_rate = json.loads((out / "rates/local.json").read_text())
    assert {0.001, 0.01} <= {float(rate) for rate in chosen_rate["grid"]}
    assert len(chosen_rate["grid"]) > 2  # the best was at an end, so the grid grew there
    assert min(chosen_rate["grid"].values()) == chosen_rate["grid"][f"{chosen_rate['rate']:g}"]
    assert set(chosen_rate["tries"]["rounds"]["grid"]) == {"1", "2"}
    sets = json.loads((out / "results/local-seed-1.json").read_text())["sets"]
    assert sets == {"form": {"fit": {"rate": chosen_rate["rate"]}}, "rounds": chosen_rate["tries"]["rounds"]["taken"]}
    assert not list((out / "rates/local").glob("*/"))  # only their losses stay
    (row,) = [line for line in page.read_text().splitlines() if line.startswith(f"| local | {chosen_rate['rate']:g} |")]
    rates = sorted(map(float, chosen_rate["grid"]))
    assert ("lower was tried" in row, "higher was tried" in row) == tuple(
        chosen_rate["rate"] == end for end in (rates[0], rates[-1])
    )


def test_a_list_says_what_and_how_long_and_leaves_nothing(recipe, data, tmp_path):
    lines = listing(chosen(recipe, "more", data), ["oracle"])
    assert any(line.startswith("  oracle: 2 x ") for line in lines)
    assert any(line.startswith("  fedavg: ") for line in lines)  # its rate is needed
    assert not any("local" in line for line in lines)
    assert "of one core" in lines[-1]
    arms = [line for line in lines if " min of one core" in line and line.startswith("  ")]
    assert len(arms) == 3
    assert all(line.endswith(" (not measured: roughly)") for line in arms)  # the backbone is of random weights
    assert lines[-1].endswith("; roughly, for not all of it was measured")
    assert {p.name for p in tmp_path.iterdir()} == {"people.toml", "tiny.toml", "tiny-reading.md"}


def test_another_setting_wants_another_folder(recipe, data, tmp_path):
    from coterie.studies.registration import register

    register(chosen(recipe, "quick", data), tmp_path / "out")
    with pytest.raises(UserError, match="holds the study tiny at the setting quick; choose another folder"):
        study(chosen(recipe, "more", data), tmp_path / "out", tmp_path / "pages", workers=1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = [0, 1]", "seads = [0, 1]", "settings.more.seads: unknown key; did you mean 'seeds'?"),
        ('rate_of = "fedavg"', 'rate_off = "fedavg"', "arms.told.rate_off: unknown key; did you mean 'rate_of'?"),
        (
            'rate_of = "fedavg"',
            'rate_of = "fedvg"',
            "arms.told.rate_of: no arm is called 'fedvg'; did you mean 'fedavg'?",
        ),
        ("hypotheses", "hypothesis", "hypothesis: unknown key; did you mean 'hypotheses'?"),
        ('better = "oracle"', 'better = "orakle"', "hypotheses.H1.better: no arm is called 'orakle'"),
        ('other = "fedavg"', 'other = "fedavg"\ncriterion = "share"', "hypotheses.H1: a share needs a reference"),
        ('name = "base"', 'name = "bare"', "arms: none is called 'base'"),
        ('name = "told"', 'name = "local"', "arms: 'local' is there 2 times"),
        ("[settings.quick]", "[settings.quick", "the study cannot be read"),
    ],
)
def test_mistakes_name_the_file_and_the_key(recipe, data, old, new, said):
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))
    with pytest.raises(UserError) as error:
        chosen(recipe, "quick", data)
    assert said in str(error.value)
    assert str(recipe) in str(error.value)


def test_arms_and_settings_that_there_are_not(recipe, data):
    with pytest.raises(UserError, match="no setting is called 'quik'; did you mean 'quick'"):
        chosen(recipe, "quik", data)
    picked = chosen(recipe, "quick", data)
    with pytest.raises(UserError, match="no arm is called 'orakel'; did you mean 'oracle'"):
        listing(picked, ["orakel"])
    with pytest.raises(UserError, match="the arm 'from the future' is not available: form\\.name: no form"):
        listing(picked, ["from the future"])
