"""What clusters take from each other: algorithms 1.4, 1.5 and 16.15."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.adapter import Adapter, Dense, Layout, LowRank, apart, crossed, side_by_side
from coterie.federation.interactions.shrink import Shrink
from coterie.federation.interactions.similarity import Similarity, mixed
from coterie.federation.products import mean_of_products
from coterie.federation.shelves import INTERACTIONS

SEEDS = st.integers(0, 1000)
NO_CENTRES: dict = {}
PARTS = (LowRank("down.to_q", 6, 4, 2, 0.5), LowRank("conv", 5, 27, 2, 0.5, (3, 3)), Dense("norm.bias", (3,)))
LAYOUT = Layout("abc123", PARTS)


def dense(adapter):
    """Every part's effective update."""
    found = []
    for index, part in enumerate(adapter.layout.parts):
        if isinstance(part, LowRank):
            b, a = adapter.factors(index)
            found.append(part.scale * b.double() @ a.double())
        else:
            found.append(adapter.dense(index).double())
    return found


def clusters_of(seed, count=3):
    draws = torch.Generator().manual_seed(seed)
    return {f"cluster-{k}": Adapter(LAYOUT, torch.randn(LAYOUT.size, generator=draws)) for k in range(count)}


def same(one, other, tolerance=1e-5):
    return all(torch.allclose(x, y, atol=tolerance) for x, y in zip(dense(one), dense(other), strict=True))


@pytest.mark.parametrize("name", INTERACTIONS.names())
@given(seed=SEEDS)
def test_a_single_cluster_is_left_alone(name, seed):
    clusters = clusters_of(seed, 1)
    assert INTERACTIONS.build(name).mix(clusters, NO_CENTRES, {"cluster-0": 3.0}, 1) == clusters


@given(seed=SEEDS)
def test_no_strength_and_no_weight_of_all_change_no_bit(seed):
    clusters, counts = clusters_of(seed), dict.fromkeys(("cluster-0", "cluster-1", "cluster-2"), 4.0)
    assert Similarity(strength=0).mix(clusters, NO_CENTRES, counts, 1) is clusters
    assert Similarity(every=2).mix(clusters, NO_CENTRES, counts, 1) is clusters
    assert Shrink(examples=0).mix(clusters, NO_CENTRES, counts, 1) is clusters


@given(seed=SEEDS, share=st.floats(0.05, 0.95))
def test_mixing_is_the_sum_of_products_where_the_rank_holds_it(seed, share):
    """With room for all ranks the mix equals the dense computation."""
    clusters = clusters_of(seed, 2)
    wide = {name: side_by_side(adapter, LAYOUT.zeros()) for name, adapter in clusters.items()}
    matrix = np.array([[1 - share, share], [share, 1 - share]])
    found = mixed(wide, matrix)
    one, other = (dense(adapter) for adapter in clusters.values())
    for name, row in zip(found, matrix, strict=True):
        for got, x, y in zip(dense(found[name]), one, other, strict=True):
            assert torch.allclose(got, row[0] * x + row[1] * y, atol=1e-5)


@given(seed=SEEDS)
def test_an_endless_temperature_and_full_strength_make_all_clusters_the_mean(seed):
    clusters = clusters_of(seed)
    centres = {name: torch.randn(6, generator=torch.Generator().manual_seed(k)) for k, name in enumerate(clusters)}
    found = Similarity(strength=1, temperature=1e9).mix(clusters, centres, {}, 1)
    for name, adapter in clusters.items():
        mean, _ = mean_of_products(list(clusters.values()), [1 / 3] * 3, adapter)
        assert same(found[name], mean)


@given(seed=SEEDS)
def test_a_huge_count_of_all_is_federated_averaging(seed):
    clusters, counts = clusters_of(seed), {"cluster-0": 1.0, "cluster-1": 2.0, "cluster-2": 5.0}
    found = Shrink(examples=1e12).mix(clusters, NO_CENTRES, counts, 1)
    mean, _ = mean_of_products(list(clusters.values()), [1 / 8, 2 / 8, 5 / 8], clusters["cluster-0"])
    assert all(same(adapter, mean, 1e-4) for adapter in found.values())


@given(seed=SEEDS)
def test_other_names_of_clusters_change_no_adapter(seed):
    clusters = clusters_of(seed)
    centres = {name: torch.randn(6, generator=torch.Generator().manual_seed(k)) for k, name in enumerate(clusters)}
    other = dict(zip(clusters, ("z", "x", "y"), strict=True))
    order = sorted(clusters, key=other.__getitem__)
    renamed = Similarity().mix({other[n]: clusters[n] for n in order}, {other[n]: centres[n] for n in order}, {}, 1)
    for name, adapter in Similarity().mix(clusters, centres, {}, 1).items():
        assert same(adapter, renamed[other[name]])


@given(seed=SEEDS)
def test_the_liker_a_cluster_the_more_it_gives(seed):
    """A cluster with the same wish gives exactly as much as one's own."""
    clusters = clusters_of(seed)
    wish, far = torch.tensor([1.0, 0, 0]), torch.tensor([-1.0, 0, 0])
    centres = dict(zip(clusters, (wish, wish, far), strict=True))
    found = Similarity(strength=1, temperature=0.02).mix(clusters, centres, {}, 1)
    mean, _ = mean_of_products(list(clusters.values())[:2], [0.5, 0.5], clusters["cluster-0"])
    assert same(found["cluster-0"], mean)
    assert same(found["cluster-2"], clusters["cluster-2"])


@given(seed=SEEDS)
def test_side_by_side_is_the_sum_and_apart_its_inverse(seed):
    one, other = clusters_of(seed, 2).values()
    whole = side_by_side(one, other)
    for got, x, y in zip(dense(whole), dense(one), dense(other), strict=True):
        assert torch.allclose(got, x + y, atol=1e-5)
    first, second = apart(whole, LAYOUT)
    low = [i for i, part in enumerate(LAYOUT.parts) if isinstance(part, LowRank)]
    assert all(torch.equal(first.factors(i)[0], one.factors(i)[0]) for i in low)
    assert all(torch.equal(second.factors(i)[1], other.factors(i)[1]) for i in low)
    assert all(
        torch.allclose(x, y)
        for x, y in zip(dense(whole), map(sum, zip(dense(first), dense(second), strict=True)), strict=True)
    )


@given(seed=SEEDS)
def test_crossing_takes_a_from_one_and_the_rest_from_the_other(seed):
    one, other = clusters_of(seed, 2).values()
    made = crossed(a_of=one, b_of=other)
    for i, part in enumerate(LAYOUT.parts):
        if isinstance(part, LowRank):
            assert torch.equal(made.factors(i)[1], one.factors(i)[1])
            assert torch.equal(made.factors(i)[0], other.factors(i)[0])
        else:
            assert torch.equal(made.dense(i), other.dense(i))
