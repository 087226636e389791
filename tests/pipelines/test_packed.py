"""A pipeline whose frozen layers are packed trains and draws as one with the same weights unpacked."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.packing import unpack
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.bank.fit import FitJob, fit
from coterie.bank.memory import Plan, Way, plan_for, ways
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.work import Fit, Fitted
from coterie.models import packed
from coterie.models.backbones.pipeline import Pipeline, PipelineSettings
from coterie.models.packed import KINDS, PackedLinear, weight_bytes

FAMILIES = ("stable_diffusion", "stable_diffusion_xl", "pixart", "stable_diffusion_3", "flux")
SIDES = {"flux": 32}


def loaded(saved: dict[str, Path], family: str, kind: str, dtype: torch.dtype = torch.float32) -> Pipeline:
    return PipelineSettings(str(saved[family]), side=SIDES.get(family, 0), quantise=kind).load(dtype, 0)


def unpacked(backbone: Pipeline) -> Pipeline:
    """The same backbone with plain layers that hold what the packed ones stand for."""
    twin = copy.copy(backbone)
    twin.network = copy.deepcopy(backbone.network)
    unpack(twin.network)
    return twin


def trained(backbone: Pipeline, width: int, clients: int = 4, moments: str = "fp32") -> list[Fitted]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (clients, 2, backbone.side, backbone.side, 3), dtype=np.uint8)
    layout = backbone.layout(2, 2.0, "attention")
    start = layout.start(0)
    jobs = [
        FitJob(f"c{i}", start, Fit(steps=3, batch=2), backbone.prepare(some, ["a cat", "a dog"]), 7 + i)
        for i, some in enumerate(pixels)
    ]
    bank = Bank(backbone, layout, width)
    try:
        results = fit(bank, jobs)
    finally:
        bank.close()
    assert all(isinstance(result, Fitted) and result.adapter.row.ne(start.row).any() for result in results)
    return [result for result in results if isinstance(result, Fitted)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_training_is_that_of_the_weights_that_the_packed_ones_stand_for(
    saved: dict[str, Path], family: str, kind: str
) -> None:
    backbone = loaded(saved, family, kind)
    plain = unpacked(backbone)
    assert any(isinstance(module, PackedLinear) for module in backbone.network.modules())
    assert not any(isinstance(module, PackedLinear) for module in plain.network.modules())
    for ours, theirs in zip(trained(backbone, 2, 2), trained(plain, 2, 2), strict=True):
        assert torch.equal(ours.adapter.row, theirs.adapter.row)
        assert ours.numbers == theirs.numbers
    assert trained(backbone, 1, 1)[0].numbers != trained(loaded(saved, family, "none"), 1, 1)[0].numbers


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_four_clients_in_one_pass_train_as_one_alone(saved: dict[str, Path], dtype: torch.dtype) -> None:
    backbone = loaded(saved, "stable_diffusion_3", "int8", dtype)
    together = trained(backbone, 4)
    moved = (together[0].adapter.row - backbone.layout(2, 2.0, "attention").start(0).row).abs().max()
    for one, all_four in zip(trained(backbone, 1), together, strict=True):
        assert torch.quantile((one.adapter.row - all_four.adapter.row).abs(), 0.9) < 1e-3 * moved


def test_it_is_the_same_backbone_and_draws_nearly_the_same(saved: dict[str, Path]) -> None:
    pictures = {}
    for kind in ("none", *KINDS):
        backbone = loaded(saved, "stable_diffusion_xl", kind)
        layout = backbone.layout(3, 6.0, "attention")
        adapter = Adapter(layout, 0.3 * torch.randn(layout.size, generator=torch.Generator().manual_seed(1)))
        bank = Bank(backbone, layout, 1)
        pictures[kind] = sample(bank, [Request("a red fox", ((adapter, 1.0),), 3, 4, 3.0)], width=2)[0].astype(int)
        bank.close()
        pictures[f"{kind} digest"] = backbone.digest, layout, backbone.num_parameters
    assert pictures["none digest"] == pictures["int8 digest"] == pictures["nf4 digest"]
    off = {kind: np.abs(pictures[kind] - pictures["none"]).mean() for kind in KINDS}
    assert 0 < off["int8"] < off["nf4"] < 30


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_the_sketch_holds_the_bytes_of_the_network(saved: dict[str, Path], kind: str) -> None:
    backbone = loaded(saved, "stable_diffusion_3", kind, torch.bfloat16)
    sketch = backbone.sketch(False, kind)
    assert sketch is not None
    assert weight_bytes(sketch.network) == weight_bytes(backbone.network)


def test_memory_chooses_how_much_is_rounded(saved: dict[str, Path]) -> None:
    backbone = loaded(saved, "stable_diffusion_3", "auto", torch.bfloat16)
    assert not any(isinstance(module, PackedLinear) for module in backbone.network.modules())
    layout = backbone.layout(2, 2.0, "attention")

    def plan(memory: int, choices: Sequence[Way]) -> Plan:
        return plan_for(memory, backbone, layout, 1, 1, choices)

    every = ways(("none", *KINDS), ("fp32", "8bit"), (False, True))
    needs = {way: plan(10**12, [way]).phases["training"] for way in every}
    assert needs[Way("nf4", "fp32", True)] < needs[Way("int8", "fp32", True)] < needs[Way("none", "fp32", True)]
    for way in every:
        got = plan(needs[way], every)
        assert got.phases["training"] <= needs[way]
        # whatever comes before it in the order of preference did not fit
        first = next(other for other in every if needs[other] <= needs[way])
        assert got == Plan(1, got.phases, first.checkpointing, first.quantise, first.moments, got.rows)
        assert got.phases["training"] == needs[first]
        assert got.rows < 64
    most = plan(10**12, every)
    assert most == Plan(1, most.phases, False)
    assert most.phases["training"] == needs[Way()]
    with pytest.raises(UserError, match="one client with a batch of 1 needs"):
        plan(min(needs.values()) - 1, every)


def test_without_the_extra_one_line_says_how_to_get_it(saved: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "installed", lambda: False)
    with pytest.raises(UserError, match=r'^backbone\.quantise: int8 needs .*: pip install "coterie\[quantise\]"$'):
        loaded(saved, "pixart", "int8")


def test_gradient_checkpointing_changes_no_gradient(saved: dict[str, Path]) -> None:
    rows: list[Tensor] = []
    for checkpointing in ("off", "on"):
        settings = PipelineSettings(
            str(saved["flux"]), side=SIDES["flux"], quantise="int8", checkpointing=checkpointing
        )
        rows.append(trained(settings.load(torch.float32, 0), 2, 2)[0].adapter.row)
    assert torch.allclose(*rows, atol=1e-6)
