"""Adapters to other programs' files and back, by command."""

import pytest

from coterie.models.peft_files import read_peft


@pytest.fixture
def run(tiny_runs):
    return tiny_runs / "first"


@pytest.fixture
def settings(tiny):
    """The settings of a tiny run as they are typed, and more of them."""
    return lambda *more: [word for item in (*tiny, *more) for word in ("--set", item)]


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "comfy", "peft"])
def test_out_and_in_again_is_the_same_adapter(typed, run, settings, tmp_path, layout):
    out = tmp_path / ("folder" if layout == "peft" else "one.safetensors")
    assert typed("export", run, "cluster-0", "--format", layout, "--out", out)[0] == 0
    code, said, _ = typed("import", out, "--backbone", "untrained", "--out", tmp_path / "in")
    assert code == 0
    assert f"read from the layout {'kohya' if layout == 'comfy' else layout}" in said  # of a U-Net they are the same
    original = read_peft(run / "server/adapters/cluster-0").digest
    assert read_peft(tmp_path / "in").digest == original
    if layout == "kohya":
        assert typed("run", "--out", tmp_path / "next", *settings(f"start={tmp_path / 'in'}", "rounds=0"))[0] == 0
        assert read_peft(tmp_path / "next/server/adapters/cluster-0").digest == original


def test_verify_proves_it_or_says_what_fails(typed, run, monkeypatch):
    code, said, _ = typed("verify", run, "cluster-0")
    assert code == 0
    assert said.count("PASSED") == 5
    assert "merged into the weights" in said
    monkeypatch.setattr("coterie.runs.verify.SAME", -1e6)
    code, _, error = typed("verify", run, "cluster-0")
    assert code == 2
    assert "not the same: written for comfy" in error


def test_an_adapter_that_does_nothing_is_no_adapter(typed, settings, tmp_path):
    assert typed("run", "--out", tmp_path / "bare", *settings("rounds=0"))[0] == 0
    code, _, error = typed("verify", tmp_path / "bare", "cluster-0")
    assert code == 2
    assert "changes nothing" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "RUN", "cluster-9", "--out", "x"), "no adapter is called 'cluster-9'"),
        (("export", "RUN", "cluster-0", "--format", "koyha", "--out", "x"), "did you mean 'kohya'?"),
        (("export", "RUN", "cluster-0", "--format", "kohya", "--out", "."), "the layout kohya is one file"),
        (("import", "none.safetensors", "--out", "x", "--backbone", "untrained"), "no such file"),
        (("import", "none.safetensors", "--out", "x", "--backbone", "dodle"), "did you mean 'doodle'?"),
        (("import", "RUN/server/adapters/cluster-0", "--out", "x"), "belongs to another backbone"),
        (("run", "start=nowhere"), "nowhere: no adapter is here"),
        (("run", "start=RUN/server/adapters/cluster-0", "method.rank=2"), "see method.rank"),
    ],
)
def test_mistakes_are_one_line(typed, run, settings, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    command, *rest = (word.replace("RUN", str(run)) for word in words)
    code, _, error = typed(command, *(settings(*rest) if command == "run" else rest))
    assert code == 2
    lines = [line for line in error.strip().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert said in lines[0]
