"""Pictures of which one noised version is known: the same network is best, and no more is left of them than one."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from coterie.models.batches import drawn
from coterie.models.buried import bury, levels_between, noised
from coterie.models.noise import Diffusion, Flow

NOISES = {
    "flow": Flow(),
    "epsilon": Diffusion(DDIMScheduler()),
    "velocity": Diffusion(DDIMScheduler(prediction_type="v_prediction")),
    "no signal at the end": Diffusion(DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)),
}
noises = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)


@noises
@given(cut=st.floats(0.1, 0.9), level=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_what_is_trained_on_has_the_signal_and_the_noise_of_its_level(noise, cut, level, seed):
    """``q z + p e = a_t x0 + s_t eps'`` with ``eps'`` of variance one, whatever the levels."""
    level = cut + (1 - cut) * level
    n = 2000
    generator = torch.Generator().manual_seed(1000 + seed)  # the server's own, not that of what is buried
    x0 = torch.full((n, 1), 3.0)
    rows = bury({"x0": x0}, noise, cut, True, seed)
    rows = {**rows, "noise": torch.randn(n, 1, generator=generator), "level": torch.full((n,), level)}
    x, _, counts = noised(rows, noise)
    a, s = noise.weights(rows["level"], x0)
    left = (x - a * x0) / s
    assert abs(float(left.mean())) < 0.15
    assert float(left.std()) == pytest.approx(1, abs=0.12)
    assert bool((counts > 0).all())
    assert bool((counts <= 1 + 1e-5).all())


@noises
@pytest.mark.parametrize(("cut", "level"), [(0.3, 0.5), (0.5, 0.6), (0.6, 0.9)])
def test_the_same_answer_is_best(noise, cut, level):
    """algorithms 16.24: the mean of what the network should say, given what it sees, on a mixture of two pictures."""
    n, generator = 400_000, torch.Generator().manual_seed(1)
    x0 = torch.where(torch.rand(n, 1, generator=generator) < 0.3, -1.0, 0.7)
    levels = torch.full((n,), level)
    usual = {"x0": x0, "noise": torch.randn(n, 1, generator=generator), "level": levels}
    buried = {**usual, **bury({"x0": x0}, noise, cut, True, 5)}
    (x, target, none), (z, other, _) = noised(usual, noise), noised(buried, noise)
    assert none is None
    edges = torch.linspace(-1.2, 1.2, 13)
    compared = 0
    for low, high in pairwise(edges):
        here, there = ((v > low) & (v <= high) for v in (x, z))
        if min(int(here.sum()), int(there.sum())) > 4000:
            compared += 1
            spread = float(other[there].std() / there.sum().sqrt() + target[here].std() / here.sum().sqrt())
            assert float((target[here].mean() - other[there].mean()).abs()) < 0.01 + 4 * spread
    assert compared > 5


@noises
def test_a_picture_is_buried_the_same_way_every_time(noise):
    x0 = torch.rand(5, 3, 4, 4)
    prepared = {"x0": x0, "states": torch.rand(5, 7)}
    one, again = (bury(prepared, noise, 0.6, True, 8) for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["x0"], bury(prepared, noise, 0.6, True, 9)["x0"])
    assert set(bury(prepared, noise, 0.6, False, 8)) == {"x0", "since"}
    assert prepared["x0"] is x0


@noises
@given(cut=st.floats(0.1, 0.9), seed=st.integers(0, 99))
def test_each_side_trains_at_its_own_levels(noise, cut, seed):
    def levels(low, high):
        return levels_between(noise, low, high, 64, torch.Generator().manual_seed(seed))

    assert bool((levels(0.0, cut) <= cut).all())
    assert bool((levels(cut, 1.0) > cut).all())
    assert torch.equal(levels(0.0, 1.0), noise.draw(64, torch.Generator().manual_seed(seed)))


def test_without_captions_the_server_trains_with_none():
    noise, empty = NOISES["flow"], {"states": torch.ones(1, 7), "mask": torch.zeros(1, 7, dtype=torch.bool)}
    prepared = bury({"x0": torch.rand(5, 3, 4, 4), "states": torch.rand(5, 7)}, noise, 0.6, False, 8)
    rows = drawn(prepared, empty, noise, 8, 0.0, torch.Generator().manual_seed(0), (0.6, 1.0))
    assert torch.equal(rows["states"], torch.ones(8, 7))
    assert rows["mask"].shape == (8, 7)
    assert torch.equal(rows["since"], torch.full((8,), 0.6))


def test_rows_that_fill_a_pass_do_no_harm():
    """Zeros everywhere: no division by nothing."""
    for noise in NOISES.values():
        rows = {"x0": torch.zeros(2, 3), "noise": torch.zeros(2, 3), "level": torch.zeros(2), "since": torch.zeros(2)}
        for value in noised(rows, noise):
            assert bool(torch.isfinite(value).all())
