"""Noise row by row against diffusers' schedulers, which move whole batches."""

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from coterie.core.errors import UserError
from coterie.models.noise import Diffusion, Flow, noise_of

TABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def scheduler(**more):
    return DDIMScheduler(**{**TABLE, "clip_sample": False, "set_alpha_to_one": False, **more})


def numbers(count, seed=0):
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


# a last level without any signal goes with velocity alone: of the noise by itself no picture can be told
STEPPED = [(prediction, more) for prediction in ("epsilon", "v_prediction") for more in ({}, {"clip_sample": True})]
STEPPED += [("v_prediction", {"rescale_betas_zero_snr": True})]


@pytest.mark.parametrize(("prediction", "more"), STEPPED)
def test_steps_are_ddims(prediction, more):
    theirs = scheduler(prediction_type=prediction, **more)
    ours = Diffusion(scheduler(prediction_type=prediction, **more))
    theirs.set_timesteps(10)
    grid = ours.grid(10)
    assert torch.equal(ours.timestep(grid[:-1]), theirs.timesteps)
    x, output = numbers(10), numbers(10, 1)
    moved = ours.step(x, output, grid[:-1], grid[1:])  # every row at a level of its own
    for i, t in enumerate(theirs.timesteps):
        wanted = theirs.step(output[i : i + 1], t, x[i : i + 1]).prev_sample
        assert torch.allclose(moved[i : i + 1], wanted, atol=2e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_right_answer_gives_the_picture_in_one_step(prediction):
    noise = Diffusion(scheduler(prediction_type=prediction, set_alpha_to_one=True))
    x0, e = numbers(6).double(), numbers(6, 1).double()
    level = noise.even(6)
    moved = noise.step(noise.corrupt(x0, e, level), noise.target(x0, e, level), level, torch.zeros(6))
    assert torch.allclose(moved, x0, atol=1e-4)
    assert torch.allclose(noise.corrupt(x0, e, level)[:2], scheduler().add_noise(
        x0[:2], e[:2], noise.timestep(level[:2])
    ), atol=1e-6)  # fmt: skip


def test_drawn_levels_are_all_in_the_table():
    noise = Diffusion(scheduler())
    drawn = noise.timestep(noise.draw(10_000, torch.Generator().manual_seed(0)))
    assert (drawn.min(), drawn.max()) == (0, 999)


def test_flow_has_the_schedulers_levels():
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(7)
    ours = Flow(FlowMatchEulerDiscreteScheduler(shift=3.0))
    assert torch.allclose(ours.grid(7), theirs.sigmas)
    x, v = numbers(1), numbers(1, 1)
    wanted = theirs.step(v, theirs.timesteps[0], x).prev_sample
    assert torch.allclose(ours.step(x, v, ours.grid(7)[:1], ours.grid(7)[1:2]), wanted, atol=1e-6)


def test_the_plain_line_is_the_doodles():
    assert torch.equal(Flow().grid(4), torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]))


def test_refusals():
    with pytest.raises(UserError, match="prediction_type is 'sample'"):
        Diffusion(scheduler(prediction_type="sample"))
    with pytest.raises(UserError, match="between 1 and 1000"):
        Diffusion(scheduler()).grid(1001)
    assert isinstance(noise_of(FlowMatchEulerDiscreteScheduler()), Flow)
