"""The Python API does what the commands do, with their functions."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

import coterie


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    return coterie.run(out=tmp_path_factory.mktemp("api") / "run", sets=tiny)


def test_all_names_are_there_and_nothing_else_is_promised():
    for name in coterie.__all__:
        assert getattr(coterie, name) is not None
    assert set(coterie.__all__) <= set(dir(coterie))
    assert isinstance(coterie.run, types.FunctionType)
    absent = "nothing"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(coterie, absent)


def test_importing_the_package_or_asking_for_help_does_not_import_torch():
    code = (
        "import sys, coterie, coterie.cli.app\n"
        "assert not {'torch', 'numpy', 'pydantic', 'diffusers'} & set(sys.modules), 'heavy'\n"
        "coterie.UserError\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["list", "show"])
def test_looking_at_runs_does_not_wait_for_torch(run, command):
    where = run.path.parent if command == "list" else run.path
    code = (
        "import sys\n"
        "from coterie.__main__ import main\n"
        f"sys.argv = ['coterie', {command!r}, {str(where)!r}]\n"
        "main()\n"
        "assert not {'torch', 'numpy', 'diffusers', 'PIL'} & set(sys.modules), 'heavy'"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "finished" in said


def test_a_run_whose_recipe_was_damaged_is_a_row_that_says_so(run, tmp_path):
    import shutil

    from coterie.runs.show import summaries

    for name, text in (("words", "not TOML at all"), ("short", "seed = 0"), ("whole", None)):
        shutil.copytree(run.path, tmp_path / name)
        if text is not None:
            (tmp_path / name / "server" / "recipe.toml").write_text(text)
    rows = {row["run"].rsplit("/", 1)[1]: row for row in summaries(tmp_path)}
    assert "not TOML" in rows["words"]["state"]
    assert "not a resolved recipe" in rows["short"]["state"]
    assert (rows["whole"]["state"], rows["whole"]["form"], rows["whole"]["rounds"]) == ("finished", "clustered", "1/1")


def test_a_run_says_what_its_folder_says(run):
    assert run.finished
    assert run.results == json.loads((run.path / "server" / "results.json").read_text())
    assert run.recipe.engine.width == 2
    assert [row["person"] for row in run.details()["people"]] == ["client-1", "client-2", "client-3"]
    assert (run.path / "server" / "report.html").is_file()
    assert coterie.Run.open(str(run.path)) == run
    assert run.resume() == run


def test_adapters_load_are_exported_and_verified(run, tmp_path):
    assert run.adapters == ("cluster-0", "client-1", "client-2", "client-3")
    adapter = run.adapter("client-1")
    assert isinstance(adapter, coterie.Adapter)
    (file,) = run.export("client-1", tmp_path / "one.safetensors", layout="kohya")
    assert file.stat().st_size > 1000
    assert all(check.passed for check in run.verify("client-1"))
    with pytest.raises(coterie.UserError, match="no adapter is called 'client-9'; did you mean"):
        run.adapter("client-9")


def test_pictures_are_those_that_the_command_writes(run, tmp_path):
    from coterie.runs.generate import Wanted, draw

    pictures = run.generate("cat", client="client-1", n=2, steps=2)
    assert [picture.size for picture in pictures] == [(16, 16)] * 2
    draw(run.path, Wanted("cat", client="client-1", n=2, steps=2), tmp_path / "drawn")
    for seed, picture in enumerate(pictures):
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(tmp_path / "drawn" / f"seed-{seed:04d}.png")))
    one = run.generate("cat", mix={"cluster-0": 1e-7, "client-1": 0.5}, steps=2)
    assert np.array_equal(one[0], run.generate("cat", mix="cluster-0=0.0000001,client-1=0.5", steps=2)[0])


def test_every_way_to_give_a_recipe_is_the_same_recipe(tmp_path):
    from coterie.runs.handle import recipe_from
    from coterie.runs.plain import as_plain

    (tmp_path / "mine.toml").write_text("rounds = 2\nform = 'local'\n")
    wanted = coterie.read_recipe(tmp_path / "mine.toml", ["seed=3"])
    table = {"rounds": 2, "form": "local"}
    for given in (tmp_path / "mine.toml", str(tmp_path / "mine.toml"), table, wanted, as_plain(wanted)):
        assert recipe_from(given, ["seed=3"]) == wanted
    assert table == {"rounds": 2, "form": "local"}
    assert recipe_from(wanted) is wanted
    with pytest.raises(coterie.UserError, match="recipe: rouds: unknown key; did you mean 'rounds'"):
        coterie.run({"rouds": 3}, out=tmp_path / "x")


def test_a_run_that_is_not_there_or_not_finished_is_told(run, tmp_path):
    import shutil

    with pytest.raises(coterie.UserError, match="not a run"):
        coterie.Run.open(tmp_path)
    shutil.copytree(run.path, tmp_path / "half")
    (tmp_path / "half" / "server" / "results.json").unlink()
    half = coterie.Run.open(tmp_path / "half")
    assert not half.finished
    with pytest.raises(coterie.UserError, match="not finished; go on with"):
        _ = half.results
