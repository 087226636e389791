"""Files that people already have, merged: the printed error is the one of the dense computation."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from coterie.core.adapter import Adapter, Layout, LowRank
from coterie.models.adapter_files import adaptable, written
from coterie.models.backbones.untrained import Untrained
from coterie.models.peft_files import read_peft


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three adapters of ranks 1, 2 and 4 on different layers, in three layouts."""
    monkeypatch.chdir(tmp_path)
    backbone = Untrained().load(torch.float32, 32)
    layers = adaptable(backbone.network)
    found = []
    for i, (rank, layout, ending) in enumerate([(1, "kohya", "to_q"), (2, "diffusers", "to_v"), (4, "comfy", "to_q")]):
        names = [n for n in layers if n.endswith((ending, "conv1"))]
        parts = tuple(LowRank(n, layers[n].out, layers[n].columns, rank, 0.5, layers[n].kernel) for n in names)
        where = Layout(backbone.digest, parts)
        row = 0.1 * torch.randn(where.size, generator=torch.Generator().manual_seed(i))
        adapter = Adapter(where, row)
        (tmp_path / f"{i}.safetensors").write_bytes(written(adapter, layout))
        found.append(adapter)
    return found


def dense(adapter):
    return {
        part.name: part.scale * adapter.factors(i)[0].double() @ adapter.factors(i)[1].double()
        for i, part in enumerate(adapter.layout.parts)
    }


def test_three_ranks_and_layouts_and_the_printed_error(typed, files, tmp_path):
    names = ["0.safetensors", "1.safetensors", "2.safetensors"]
    code, said, _ = typed("merge", *names, "--out", "m", "--weights", "2,1,1", "--backbone", "untrained")
    assert code == 0
    wanted = {}
    for adapter, weight in zip(files, (0.5, 0.25, 0.25), strict=True):
        for name, update in dense(adapter).items():
            wanted[name] = wanted.get(name, 0) + weight * update
    values = {name: torch.linalg.svdvals(update) for name, update in wanted.items()}
    lost = sum(float(s[4:].square().sum()) for s in values.values())
    whole = sum(float(s.square().sum()) for s in values.values())
    assert float(re.search(r"could not hold: (\S+)", said)[1]) == pytest.approx(lost / whole, abs=1e-4)
    merged = read_peft(tmp_path / "m")
    got = dense(merged)
    assert set(got) == set(wanted)
    error = sum(float((got[n] - wanted[n]).square().sum()) for n in wanted)
    assert error == pytest.approx(lost, rel=1e-3)
    assert "from ranks 1, 2, 4" in said
    assert "sheet.png: rows from the top: bare model, 0, 1, 2, merged" in said
    page = np.asarray(Image.open(tmp_path / "m/sheet.png"))
    assert page.shape[0] > page.shape[1] // 2
    tall = (page.shape[0] - 2) // 5
    strip = page[:, :64].min((1, 2)) < 128
    assert all(strip[i * tall : (i + 1) * tall].any() for i in range(5))
    code, said, _ = typed("merge", *names, "--out", "whole", "--rank", "7", "--backbone", "untrained")
    assert code == 0
    assert "could not hold: 0.0000" in said


def test_ties_of_mixed_ranks(typed, files, tmp_path):
    words = ["0.safetensors", "2.safetensors", "--out", "t", "--rule", "ties", "--backbone", "untrained"]
    code, said, _ = typed("merge", *words, "--density", "0.3")
    assert code == 0
    assert 0 < float(re.search(r"could not hold: (\S+)", said)[1]) < 1
    assert {p.rank for p in read_peft(tmp_path / "t").layout.parts} == {4}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0.safetensors"], "two or more"),
        (["0.safetensors", "1.safetensors", "--weights", "1"], "1 weights for 2 adapters"),
        (["0.safetensors", "1.safetensors", "--weights", "a,b"], "wanted numbers with commas"),
        (["0.safetensors", "1.safetensors", "--rule", "mean"], "must have one rank"),
        (["0.safetensors", "1.safetensors", "--rule", "men"], "did you mean 'mean'?"),
        (["0.safetensors", "1.safetensors", "--density", "0.5"], "--density: the rule product_svd trims nothing"),
        (["0.safetensors", "1.safetensors", "--rule", "ties", "--density", "0"], "--rule.density"),
        (["0.safetensors", "9.safetensors"], "9.safetensors: no such file"),
        (["0.safetensors", "other.safetensors"], "if it was made for another model, name that with --backbone"),
    ],
)
def test_mistakes_are_one_line(typed, files, words, said):
    save_file({"lora_unet_else_where.lora_down.weight": torch.ones(2, 4)}, "other.safetensors")
    code, _, error = typed("merge", *words, "--out", "m", "--backbone", "untrained")
    assert code == 2
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert said in line
