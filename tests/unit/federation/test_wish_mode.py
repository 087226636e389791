import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from coterie.core.errors import UserError
from coterie.federation.wish_mode import WishMode

WIDTH = 384
MODES = [
    WishMode(), WishMode(project=64), WishMode(noise=0.05), WishMode(rounding="int8"), WishMode(rounding="sign"),
    WishMode(project=50, rounding="sign"), WishMode(project=32, noise=0.1, rounding="int8"),
]  # fmt: skip


def wishes(seed, count=8):
    return normalize(torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.title)
def test_what_is_opened_is_one_long_and_the_same_every_time(mode):
    sent = mode.sent(wishes(0), 3, 4)
    opened = mode.opened(sent)
    assert opened.shape == (8, mode.project or WIDTH)
    assert opened.dtype == torch.float32
    assert torch.allclose(opened.norm(dim=1), torch.ones(8), atol=1e-5)
    assert torch.equal(sent, mode.sent(wishes(0), 3, 4))
    one = mode.without_noise
    assert torch.equal(one.sent(wishes(0), 3, 4)[2], one.sent(wishes(0)[2], 3, 9))  # one wish alone, or among others


def test_plain_is_the_wish_itself():
    assert torch.equal(WishMode().opened(WishMode().sent(wishes(1), 0, 0)), wishes(1))


@pytest.mark.parametrize(
    ("mode", "count"),
    [(WishMode(), 4 * WIDTH), (WishMode(rounding="int8"), WIDTH), (WishMode(rounding="sign"), WIDTH // 8),
     (WishMode(project=64), 256), (WishMode(project=50, rounding="sign"), 7)],
)  # fmt: skip
def test_bytes_that_are_sent(mode, count):
    sent = mode.sent(wishes(0)[0], 0, 0)
    assert sent.numel() * sent.element_size() == count


@given(st.integers(0, 10**6))
def test_a_whole_projection_turns_and_changes_no_angle(seed):
    turned = WishMode(project=WIDTH).projected(wishes(seed), seed)
    assert torch.allclose(turned @ turned.T, wishes(seed) @ wishes(seed).T, atol=1e-5)
    assert not torch.allclose(turned, wishes(seed), atol=0.1)


@given(st.integers(0, 10**6))
def test_a_projection_is_the_runs_and_noise_the_clients(seed):
    mode, vectors = WishMode(project=16, noise=0.1), wishes(0)
    assert not torch.equal(mode.projected(vectors, seed), mode.projected(vectors, seed + 1))
    assert not torch.equal(mode.sent(vectors, 0, seed), mode.sent(vectors, 0, seed + 1))
    assert torch.equal(mode.without_noise.sent(vectors, 0, seed), mode.without_noise.sent(vectors, 0, seed + 1))


def test_rounding_and_noise_cost_about_the_angle_that_they_should():
    vectors = wishes(0, 400)

    def kept(mode):
        return float((mode.opened(mode.sent(vectors, 0, 1)) * vectors).sum(1).mean())

    assert kept(WishMode(rounding="int8")) > 0.999
    assert kept(WishMode(rounding="sign")) == pytest.approx((2 / torch.pi) ** 0.5, abs=0.01)
    for noise in (0.02, 0.05, 0.2):
        assert kept(WishMode(noise=noise)) == pytest.approx((1 + WIDTH * noise**2) ** -0.5, abs=0.01)


def test_what_does_not_fit_is_said():
    with pytest.raises(UserError, match=r"form.wish.project: 64 numbers cannot be left of 5"):
        WishMode(project=64).projected(torch.ones(5), 0)
    with pytest.raises(UserError, match=r"form.wish.rounding: 5 signs do not fill bytes"):
        WishMode(rounding="sign").sent(torch.ones(5), 0, 0)
