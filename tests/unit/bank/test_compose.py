"""Several adapters, one picture."""

import numpy as np
import pytest
import torch

from coterie.bank.bank import Bank
from coterie.bank.compose import WAYS, active, denoisers
from coterie.bank.denoise import Request, sample
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.models.methods.lora import Lora


@pytest.fixture
def bank(backbone):
    model = backbone()
    made = Bank(model, Lora(rank=2, alpha=2, targets="attention").layout(model), 2)
    yield made
    made.close()


@pytest.fixture
def adapters(bank):
    draws = torch.Generator().manual_seed(0)
    return [Adapter(bank.template, 0.3 * torch.randn(bank.template.size, generator=draws)) for _ in range(3)]


def drawn(bank, mix, way="merge", steps=6, seed=1):
    return sample(bank, [Request("cat", tuple(mix), seed, steps, 2.0, way)])[0].astype(int)


@pytest.mark.parametrize("way", WAYS)
def test_one_adapter_draws_the_same_in_every_way(bank, adapters, way):
    assert np.array_equal(drawn(bank, [(adapters[0], 1.0)], way), drawn(bank, [(adapters[0], 1.0)]))


@pytest.mark.parametrize("way", ["composite", "switch", "schedule"])
def test_the_same_adapter_twice_is_that_adapter(bank, adapters, way):
    twice = [(adapters[0], 0.5), (Adapter(adapters[0].layout, adapters[0].row.clone()), 0.5)]
    assert abs(drawn(bank, twice, way) - drawn(bank, [(adapters[0], 1.0)])).max() <= 1


def test_the_four_ways_draw_four_pictures(bank, adapters):
    mix = [(adapters[0], 0.5), (adapters[1], 0.5)]
    pictures = [drawn(bank, mix, way, steps=12) for way in WAYS]
    for i, one in enumerate(pictures):
        assert all(abs(one - other).max() > 2 for other in pictures[:i])


def test_a_composite_averages_what_the_denoisers_say(bank, adapters):
    """One step: the mean of the two noisy pictures they lead to is the noisy picture of their mean answer."""
    model, (one, other, _) = bank.backbone, adapters
    x, prompts = model.noise([5]), model.encode(["cat"])
    sigmas, guidance = model.grid(3), torch.tensor([1.0])
    moved = []
    for adapter in (one, other):
        bank.bind_groups([[(adapter, 1.0)]])
        moved.append(model.step(x, prompts, sigmas[:1], sigmas[1:2], guidance))
    bank.release()
    halfway = 0.5 * (moved[0] + moved[1])
    first, second = ((m - x) for m in moved)
    assert torch.allclose(halfway - x, 0.5 * (first + second), atol=1e-6)
    assert (first - second).abs().max() > 1e-4


def test_mates_and_ways_do_not_touch_each_other(bank, adapters):
    mix = ((adapters[0], 0.3), (adapters[1], 0.7))
    requests = [Request("cat", mix, 1, 6, 2.0, way) for way in WAYS] + [Request("dog", (), 2, 4, 2.0)]
    together = sample(bank, requests)
    for picture, request in zip(together, requests, strict=True):
        assert np.array_equal(picture, sample(bank, [request])[0])


def test_switch_takes_turns_of_five_and_a_schedule_shares_the_steps(adapters):
    mix = tuple((adapter, 1.0) for adapter in adapters)
    turns = [active(mix, "switch", step, 20)[0][0] for step in range(20)]
    assert [sum(turn is adapter for turn in turns) for adapter in adapters] == [10, 5, 5]
    shares = tuple(zip(adapters, (0.5, 0.25, 0.25), strict=True))
    chosen = [active(shares, "schedule", step, 8)[0][0] for step in range(8)]
    assert [next(i for i, adapter in enumerate(adapters) if adapter is one) for one in chosen] == [
        0,
        0,
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    assert [share for _, share in denoisers(shares, "composite")] == [0.5, 0.25, 0.25]


def test_more_adapters_than_fit_into_a_call_are_one_line(bank, adapters):
    mix = tuple((adapter, 1.0) for adapter in adapters)
    with pytest.raises(UserError, match="composite of 3 adapters; 2 fit"):
        sample(bank, [Request("cat", mix, 1, 2, 2.0, "composite")], width=2)
