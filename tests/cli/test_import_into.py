"""A LoRA file becomes what a client of a finished run keeps."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from coterie.core.adapter import Adapter, Layout, LowRank
from coterie.models.adapter_files import adaptable, written
from coterie.models.backbones.untrained import Untrained
from coterie.models.peft_files import read_peft


@pytest.fixture
def run(tiny_runs, tmp_path, monkeypatch):
    """A finished run of its own for each test, in which nobody keeps anything but what is served."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_runs / "first", tmp_path / "run")
    for personal in tmp_path.glob("run/sites/*/adapters/personal"):
        shutil.rmtree(personal)
    return tmp_path / "run"


def brought(path, ending="conv1", rank=5, backbone=None):
    """An adapter on other layers and of another rank than the run's, as a file."""
    loaded = Untrained().load(torch.float32, 32)
    layers = adaptable(loaded.network)
    names = [name for name in layers if name.endswith(ending)]
    parts = tuple(LowRank(n, layers[n].out, layers[n].columns, rank, 0.5, layers[n].kernel) for n in names)
    layout = Layout(backbone or loaded.digest, parts)
    adapter = Adapter(layout, 0.3 * torch.randn(layout.size, generator=torch.Generator().manual_seed(1)))
    path.write_bytes(written(adapter, "kohya"))
    return adapter


def picture(typed, *which):
    out = "-".join(which).replace("/", "-") or "bare"
    ask = ("generate", "run", "--prompt", "cat", "-n", 1, "--steps", 2, "--out", out, *which)
    code, _, error = typed(*ask)
    assert code == 0, error
    made = Image.open(f"{out}/seed-0000.png")
    return np.asarray(made).astype(int), made.text["coterie:adapters"]


def test_everything_uses_it_whatever_its_layers_and_ranks(typed, run):
    adapter = brought(run.parent / "hers.safetensors")
    bare, _ = picture(typed)
    shown = typed("show", "run", "--format", "json")[1]
    measured = {row["person"]: row for row in json.loads(shown)["people"]}
    assert "imported" not in shown
    code, said, error = typed("import", "hers.safetensors", "--into", "run", "--client", "client-2")
    assert code == 0, error
    assert said.startswith("run: client-2: ")
    drawn, notes = picture(typed, "--client", "client-2")
    assert np.abs(drawn - bare).max() > 2
    assert notes == f"{adapter.digest} x 1"
    half, _ = picture(typed, "--mix", "client-2=0.5,cluster-0=0.5")
    assert np.abs(half - drawn).max() > 0
    only, _ = picture(typed, "--mix", "client-2=1,cluster-0=0")
    assert np.abs(only - drawn).max() <= 1
    rows = {row["name"]: row for row in json.loads(typed("adapters", "run", "--format", "json")[1])}
    assert (rows["client-2"]["kind"], rows["client-2"]["digest"]) == ("imported", adapter.digest)
    assert rows["client-1"]["kind"] == "served"
    assert typed("export", "run", "client-2", "--out", "again")[0] == 0
    assert read_peft(run.parent / "again").digest == adapter.digest
    assert typed("verify", "run", "client-2")[0] == 0
    people = {row["person"]: row for row in json.loads(typed("show", "run", "--format", "json")[1])["people"]}
    assert [people[name]["keeps"] for name in sorted(people)] == [None, "imported", None]
    assert people == {**measured, "client-2": {**measured["client-2"], "keeps": "imported"}}
    shown = typed("show", "run")[1]
    assert "imported after the run and not measured: client-2; their numbers are of what was trained" in shown


def test_what_is_kept_already_is_replaced_only_when_asked(typed, run):
    served = run / "sites" / "client-1" / "adapters" / "served"
    personal = served.with_name("personal")
    shutil.copytree(served, personal)
    before = read_peft(personal).digest
    adapter = brought(run.parent / "hers.safetensors")
    give = ("import", "hers.safetensors", "--into", "run", "--client", "client-1")
    code, _, error = typed(*give)
    assert (code, error.count("\n")) == (2, 1)
    assert "client-1 keeps an adapter of its own already" in error
    assert "--replace uses this one instead and leaves that folder as it is" in error
    assert typed(*give, "--replace")[0] == 0
    assert read_peft(personal).digest == before
    assert picture(typed, "--client", "client-1")[1] == f"{adapter.digest} x 1"
    code, _, error = typed(*give)
    assert (code, "imported; --replace uses this one instead\n" in error) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--into", "run"], "wanted either --out FOLDER, or --into RUN --client NAME"),
        (["--into", "run", "--client", "client-1", "--out", "x"], "wanted either"),
        (["--out", "x", "--client", "client-1"], "wanted either"),
        ([], "wanted either"),
        (["--out", "x", "--replace"], "wanted either"),
        (["--into", "run", "--client", "clint-1"], "no such client; did you mean 'client-"),
        (["--into", "nowhere", "--client", "client-1"], "nowhere: not a run"),
        (["--into", "run", "--client", "client-1", "--backbone", "doodle"], "--backbone: its digest is"),
    ],
)
def test_mistakes_are_one_line(typed, run, words, said):
    brought(run.parent / "hers.safetensors")
    code, _, error = typed("import", "hers.safetensors", *words)
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
    assert not list(run.glob("sites/*/adapters/imported"))


def test_a_file_for_another_backbone_and_a_run_that_goes_on_are_refused(typed, run):
    brought(run.parent / "hers.safetensors", backbone="feedfacecafe")
    give = ("import", "hers.safetensors", "--into", "run", "--client", "client-1")
    error = typed(*give)[2]
    assert "belongs to another backbone" in error
    assert "people of run can only keep adapters of its own backbone" in error
    code, _, error = typed("import", "hers.safetensors", "--backbone", "untrained", "--out", "x")
    assert (code, error.count("\n")) == (2, 1)
    assert error.endswith("; if it was made for another model, name that with --backbone\n")
    (run / "server" / "results.json").unlink()
    assert "run: not finished; go on with" in typed(*give)[2]
