"""Paths in a recipe file are seen from the file, typed ones from here, and a run folder holds whole ones."""

import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coterie.core.errors import UserError
from coterie.runs.plain import as_plain
from coterie.runs.reading import control_of, for_folder, make_recipe, read_recipe
from coterie.runs.run import resume, start


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with pictures, two levels below the working directory."""
    rng = np.random.default_rng(0)
    for name in ("ann", "ben"):
        (tmp_path / "a" / "b" / "pics" / name).mkdir(parents=True)
        for i in range(4):
            picture = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
            picture.save(tmp_path / "a" / "b" / "pics" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    return Path("a/b")


def written(there, text):
    (there / "mine.toml").write_text(text)
    return there / "mine.toml"


def test_every_kind_of_place_is_seen_from_the_file(there):
    (there / "model").mkdir()
    (there / "own" / "set").mkdir(parents=True)
    file = written(there, """
        start = "begin"
        sinks = [{ name = "tensorboard", folder = "../logs" }, "wandb"]
        backbone = { name = "pipeline", path = "model", config = "./beside" }
        [data]
        source = { name = "folders", paths = ["pics/ann", "/abs/ben"] }
        [control]
        start = ""
        data.source.paths = ["pics/ben"]
        backbone.config = "one.safetensors"
    """)  # fmt: skip
    recipe = read_recipe(file)
    assert recipe.start == "a/b/begin"
    assert recipe.sinks[0].folder == "a/b/../logs"
    assert (recipe.backbone.path, recipe.backbone.config) == ("a/b/model", "a/b/beside")
    assert recipe.data.source.paths == (Path("a/b/pics/ann"), Path("/abs/ben"))
    control = control_of(recipe)
    assert control.start == ""
    assert control.data.source.paths == (Path("a/b/pics/ben"),)
    assert control.backbone.config == "a/b/one.safetensors"
    hub = 'data.source = { name = "hub", path = "own/set" }'
    assert read_recipe(written(there, hub)).data.source.path == "a/b/own/set"
    assert read_recipe(written(there, hub.replace("set", "er"))).data.source.path == "own/er"
    short = written(there, 'sinks = "tensorboard"\nform = "local"\ndata.source = "studio"')
    assert read_recipe(short).sinks[0].folder == ""


def test_a_folder_that_is_only_here_is_not_taken_for_an_id(there):
    Path("models/mine").mkdir(parents=True)
    file = written(there, 'backbone = { name = "pipeline", path = "models/mine" }')
    assert read_recipe(file).backbone.path == "a/b/models/mine"


def test_typed_paths_are_seen_from_here(there):
    file = written(there, 'start = "begin"\n[data]\nsource = { name = "image_folder", path = "pics" }')
    recipe = read_recipe(file, ["data.source.path=pics", "start=here"])
    assert (recipe.data.source.path, recipe.start) == (Path("pics"), "here")
    assert read_recipe(file, ["start=here"]).data.source.path == Path("a/b/pics")
    table = {"start": "begin", "data": {"source": {"name": "image_folder", "path": "pics"}}}
    assert make_recipe(table, "table").data.source.path == Path("pics")


def test_a_mistake_names_the_file_and_key_as_before(there):
    for text in (
        "start = 3",
        "data = 3",
        "sinks = 3",
        "[data]\nsource = { name = 'folder', path = 'x' }",
        "control = 3",
    ):
        with pytest.raises(UserError, match=r"^a/b/mine.toml: "):
            read_recipe(written(there, text))


def test_a_recipe_is_written_for_the_folder_it_lies_in(there):
    recipe = read_recipe(written(there, 'start = "begin"\n[data]\nsource = { name = "hub", path = "owner/name" }'))
    plain = as_plain(for_folder(recipe, Path("a")))
    assert (plain["start"], plain["data"]["source"]["path"]) == ("b/begin", "owner/name")


def test_a_run_goes_on_from_anywhere(there, tmp_path, monkeypatch):
    file = written(there, """
        rounds = 1
        form = { name = "local", fit = { steps = 1, batch = 2 } }
        backbone = "untrained"
        method.targets = "attention"
        engine = { width = 2, workers = 0 }
        evaluation = { copies = 0, levels = 4 }
        pictures = { steps = 1, prompts = ["cat"] }
        [data]
        source = { name = "image_folder", path = "pics", caption = "thing" }
        column = "client"
    """)  # fmt: skip
    recipe = read_recipe(file)
    results = start(recipe, Path("run"))
    kept = tomllib.loads(Path("run/server/recipe.toml").read_text())
    assert kept["data"]["source"]["path"] == str(tmp_path / "a" / "b" / "pics")
    Path("run/server/results.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = resume(Path(os.path.relpath(tmp_path / "run")))
    assert again["recipe_digest"] == results["recipe_digest"]
    assert again["final"] == results["final"]


def test_results_are_json_that_anybody_can_read(tmp_path):
    """Where no copies are looked for there is no share of chance, and not a number that JSON does not have."""
    sets = [
        "rounds=1", "form.name=fedavg", "form.fit.steps=1", "form.fit.batch=2", "backbone.name=untrained", "control={}",
        "method.targets=attention", "engine.workers=0", "evaluation.copies=0", "evaluation.levels=4",
        "pictures.steps=1", "pictures.people=false", "pictures.hybrids=false",
    ]  # fmt: skip
    start(read_recipe(None, sets), tmp_path / "run")
    text = (tmp_path / "run/server/results.json").read_text()
    assert json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["copies"] == {}
