"""The laws of routing, algorithms 16.16."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from coterie.federation.routing import Q_MIN, centroids_of, route


def centroids(seed, count=4, width=64):
    draw = torch.Generator().manual_seed(seed)
    return {f"cluster-{i}": normalize(torch.randn(width, generator=draw), dim=0) for i in range(count)}


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_a_centroid_routes_to_its_own(seed, count):
    known = centroids(seed, count, 384)
    for name, vector in known.items():
        found = route(vector, known)
        assert next(iter(found.shares)) == found.nearest == name
        assert found.nearness == pytest.approx(1, abs=1e-6)


@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_scaling_is_irrelevant(seed, scale):
    known = centroids(seed)
    prompt = known["cluster-1"] + 0.7 * known["cluster-2"]
    one, other = route(prompt, known), route(prompt * scale, known)
    assert one.shares.keys() == other.shares.keys()
    assert other.shares == pytest.approx(one.shares, rel=1e-4)


@given(st.integers(0, 10**6))
def test_a_random_orthogonal_vector_reaches_none(seed):
    known = centroids(seed)
    axes = torch.linalg.qr(
        torch.stack([*known.values(), torch.randn(64, generator=torch.Generator().manual_seed(~seed & 2**60 - 1))]).T
    )[0]
    found = route(axes[:, -1], known)
    assert not found.shares
    assert found.nearness < 1e-5


@given(st.integers(0, 10**6))
def test_at_most_two_of_a_fifth_or_more_that_add_up(seed):
    known = centroids(seed, 6, 8)
    found = route(torch.randn(8, generator=torch.Generator().manual_seed(seed + 1)), known)
    if found.shares:
        assert len(found.shares) <= 2
        assert min(found.shares.values()) >= 0.2
        assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
        assert sum(found.shares.values()) == pytest.approx(1)
    else:
        assert found.nearness < Q_MIN


def test_the_shares_are_a_softmax_of_the_two_nearest():
    known = {"a": torch.tensor([1.0, 0, 0]), "b": torch.tensor([0, 1.0, 0]), "c": torch.tensor([0, 0, 1.0])}
    prompt = normalize(torch.tensor([0.7, 0.6, 0.1]), dim=0)
    found = route(prompt, known)
    ratio = math.exp(float(prompt[0] - prompt[1]) / 0.1)
    assert found.shares == pytest.approx({"a": ratio / (1 + ratio), "b": 1 / (1 + ratio)})
    assert route(torch.tensor([1.0, 0.8, 0]), known).shares == {"a": 1.0}  # the other would have less than a fifth
    assert route(prompt, known, q_min=0.9).shares == {}


def test_centroids_are_the_directions_of_means_in_any_order():
    wishes = {
        "a": torch.tensor([1.0, 0]),
        "b": torch.tensor([0, 1.0]),
        "c": torch.tensor([0, -1.0]),
        "d": torch.ones(2),
    }
    labels = {"a": "x", "b": "x", "c": "y", "without a wish": "z"}
    found = centroids_of(wishes, labels)
    assert found.keys() == {"x", "y"}
    assert torch.allclose(found["x"], torch.full((2,), math.sqrt(0.5)))
    again = centroids_of(dict(reversed(wishes.items())), labels)
    assert all(torch.equal(found[name], again[name]) for name in found)
