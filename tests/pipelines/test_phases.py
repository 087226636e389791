"""What stands beside a pipeline's network is counted in the plan, for every family."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coterie.bank.memory import Plan, Way, plan_for
from coterie.bank.peak import call_peak
from coterie.models.backbones import pipeline
from coterie.models.backbones.pipeline import Pipeline, PipelineSettings
from coterie.models.packed import weight_bytes

FAMILIES = ("stable_diffusion", "stable_diffusion_xl", "pixart", "stable_diffusion_3", "flux")
SIDES = {"flux": 32}


def loaded(saved: dict[str, Path], family: str, side: int = 0) -> Pipeline:
    return PipelineSettings(str(saved[family]), side=side or SIDES.get(family, 0)).load(torch.float32, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_stands_beside_the_network_is_counted_without_running_it(saved: dict[str, Path], family: str) -> None:
    backbone = loaded(saved, family)
    beside = backbone.beside()
    encoders = [part for name, part in backbone.pipe.components.items() if name.startswith("text_encoder") and part]
    assert beside.encoders == sum(map(weight_bytes, encoders)) > 0
    assert beside.autoencoder == weight_bytes(backbone.pipe.vae) > 0
    pixels = 4 * 3 * backbone.side**2
    assert call_peak(beside.encode) > pipeline.PICTURES_AT_ONCE * pixels
    assert call_peak(beside.decode) > pixels


def test_adapted_encoders_are_not_counted_twice(saved: dict[str, Path]) -> None:
    settings = PipelineSettings(str(saved["stable_diffusion"]), text_encoders=True)
    assert settings.load(torch.float32, 0).beside().encoders == 0


def test_larger_pictures_take_larger_passes(saved: dict[str, Path]) -> None:
    small, large = (loaded(saved, "stable_diffusion", side).beside() for side in (32, 64))
    assert call_peak(large.encode) > 3.5 * call_peak(small.encode)
    assert call_peak(large.decode) > 3.5 * call_peak(small.decode)


def test_a_plan_has_every_kind_of_work(saved: dict[str, Path]) -> None:
    backbone = loaded(saved, "stable_diffusion")
    layout = backbone.layout(2, 2.0, "attention")

    def plan(memory: int, way: Way) -> Plan:
        return plan_for(memory, backbone, layout, 1, 1, [way])

    plain, packed = plan(10**12, Way()), plan(10**12, Way("nf4"))
    assert set(plain.phases) == {"training", "scoring", "drawing", "encoding"}  # loading is measured
    assert set(packed.phases) == {*plain.phases, "loading"}
    assert packed.phases["loading"] > weight_bytes(backbone.network)
    small = plan(plain.phases["training"], Way())
    assert small.rows < plain.rows
    assert small.phases["scoring"] < plain.phases["scoring"]
    assert small.phases["encoding"] == plain.phases["encoding"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_latents_do_not_depend_on_how_many_pictures_come_along(saved: dict[str, Path], count: int) -> None:
    backbone = loaded(saved, "stable_diffusion", 64)
    pixels = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    every = backbone.prepare(pixels, [""] * 5)["x0"]
    assert torch.equal(backbone.prepare(pixels[:count], [""] * count)["x0"], every[:count])
