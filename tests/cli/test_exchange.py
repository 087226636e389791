"""Adapters to other programs' files and back, by command."""

import sys

import pytest

from coterie.__main__ import main
from coterie.models.peft_files import read_peft

SMALL = [
    "backbone.name=untrained", "rounds=1", "form.fit.steps=1", "form.fit.batch=2", "form.keeping.steps=1",
    "pictures.steps=1", 'pictures.prompts=["cat"]', "evaluation.copies=0", "evaluation.levels=4", "engine.width=2",
    "engine.workers=0", "data.partition=iid", "data.num_clients=2", "form.grouping.name=single",
    "method.targets=attention", "control={}",
]  # fmt: skip


def call(*words):
    sys.argv = ["coterie", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("exchange") / "run"
    arguments = sys.argv
    try:
        assert call("run", "--out", path, *(word for item in SMALL for word in ("--set", item))) == 0
    finally:
        sys.argv = arguments
    return path


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "comfy", "peft"])
def test_out_and_in_again_is_the_same_adapter(run, tmp_path, capsys, layout, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    out = tmp_path / ("folder" if layout == "peft" else "one.safetensors")
    assert call("export", run, "cluster-0", "--format", layout, "--out", out) == 0
    assert call("import", out, "--backbone", "untrained", "--out", tmp_path / "in") == 0
    said = capsys.readouterr().out
    assert f"read from the layout {layout}" in said
    original = read_peft(run / "server/adapters/cluster-0").digest
    assert read_peft(tmp_path / "in").digest == original
    if layout == "kohya":
        sets = [word for item in [*SMALL, f"start={tmp_path / 'in'}", "rounds=0"] for word in ("--set", item)]
        assert call("run", "--out", tmp_path / "next", *sets) == 0
        assert read_peft(tmp_path / "next/server/adapters/cluster-0").digest == original


def test_verify_proves_it_or_says_what_fails(run, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    assert call("verify", run, "cluster-0") == 0
    said = capsys.readouterr().out
    assert said.count("PASSED") == 5
    assert "merged into the weights" in said
    monkeypatch.setattr("coterie.runs.verify.SAME", -1e6)
    assert call("verify", run, "cluster-0") == 2
    assert "not the same: written for comfy" in capsys.readouterr().err


def test_an_adapter_that_does_nothing_is_no_adapter(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    sets = [word for item in [*SMALL, "rounds=0"] for word in ("--set", item)]
    assert call("run", "--out", tmp_path / "bare", *sets) == 0
    assert call("verify", tmp_path / "bare", "cluster-0") == 2
    assert "changes nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "RUN", "cluster-9", "--out", "x"), "no adapter is called 'cluster-9'"),
        (("export", "RUN", "cluster-0", "--format", "koyha", "--out", "x"), "did you mean 'kohya'?"),
        (("export", "RUN", "cluster-0", "--format", "kohya", "--out", "."), "the layout kohya is one file"),
        (("import", "none.safetensors", "--out", "x", "--backbone", "untrained"), "no such file"),
        (("import", "none.safetensors", "--out", "x", "--backbone", "dodle"), "did you mean 'doodle'?"),
        (("import", "RUN/server/adapters/cluster-0", "--out", "x"), "belongs to another backbone"),
        (("run", "--set", "start=nowhere", *(w for i in SMALL for w in ("--set", i))), "nowhere: no adapter is here"),
        (
            ("run", "--set", "start=RUN/server/adapters/cluster-0",
             *(w for i in [*SMALL, "method.rank=2"] for w in ("--set", i))),
            "see method.rank",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(run, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.chdir(tmp_path)
    assert call(*(str(word).replace("RUN", str(run)) for word in words)) == 2
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert said in lines[0]
