import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.evals.hierarchical import hierarchical, hierarchical_ratio
from coterie.evals.paired import paired

TABLES = st.integers(0, 2**31).flatmap(
    lambda seed: st.tuples(st.integers(1, 4), st.integers(1, 6)).map(
        lambda shape: np.random.default_rng(seed).normal(0.2, 1.0, shape)
    )
)


@given(TABLES)
def test_the_mean_is_that_of_all_and_lies_in_the_interval(table):
    found = hierarchical(table, draws=500)
    assert found.mean == pytest.approx(table.mean())
    if table.size == 1:
        assert found.low is None
    else:
        assert table.min() - 1e-9 <= found.low <= found.high <= table.max() + 1e-9


@given(TABLES)
def test_swapping_the_arms_turns_the_sign(table):
    one, other = hierarchical(table, draws=300), hierarchical(-table, draws=300)
    assert one.mean == pytest.approx(-other.mean)
    if one.low is not None:
        assert one.low == pytest.approx(-other.high)


@given(TABLES, st.floats(-3, 3))
def test_what_all_have_alike_moves_everything_by_as_much(table, shift):
    one, moved = hierarchical(table, draws=200), hierarchical(table + shift, draws=200)
    assert moved.mean == pytest.approx(one.mean + shift)
    if one.low is not None:
        assert (moved.low, moved.high) == pytest.approx((one.low + shift, one.high + shift))


def test_one_seed_and_one_group_is_the_bootstrap_over_people():
    table = np.random.default_rng(0).normal(0.1, 1, (1, 30))
    plain, found = paired(np.zeros(30), table[0]), hierarchical(table)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.03)


def test_seeds_that_disagree_widen_the_interval_though_people_agree():
    people = np.random.default_rng(0).normal(0, 0.1, 20)
    same = hierarchical(np.stack([people, people, people]))
    apart = hierarchical(np.stack([people - 1, people, people + 1]))
    assert apart.mean == pytest.approx(same.mean)
    assert apart.high - apart.low > 3 * (same.high - same.low)


def test_groups_count_alike_whatever_their_size():
    table = np.array([[0.0] * 9 + [1.0]])
    assert hierarchical(table).mean == pytest.approx(0.1)
    found = hierarchical(table, ["many"] * 9 + ["one"])
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == (0.5, 0.5)  # nobody in a group differs from anybody else in it


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(120):
        table = rng.normal(0, 0.5, (6, 1)) + rng.normal(0, 0.5, (1, 30)) + rng.normal(0, 0.2, (6, 30))
        found = hierarchical(table, seed=trial, draws=400)
        hits += found.low <= 0 <= found.high
    assert 0.75 <= hits / 120 <= 1.0  # six seeds are few, so a little less than 95 %


def test_a_share_of_a_gain():
    whole = np.random.default_rng(0).uniform(0.5, 1.5, (3, 12))
    found = hierarchical_ratio(0.8 * whole, whole)
    assert (found.mean, found.low, found.high) == pytest.approx((0.8, 0.8, 0.8))
    assert hierarchical_ratio(whole, whole - 1.0).low is None  # the whole is not surely a gain


def test_wrong_shapes_are_refused():
    for table in (np.zeros(3), np.zeros((0, 3)), np.array([[np.nan, 1.0]])):
        with pytest.raises(ValueError, match="finite differences"):
            hierarchical(table)
    with pytest.raises(ValueError, match="3 people and 2 groups"):
        hierarchical(np.zeros((1, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="two sets"):
        hierarchical_ratio(np.zeros((1, 3)), np.zeros((1, 2)))
