import numpy as np
import pytest

from coterie.evals.paired import paired


def test_equal_values_differ_by_nothing():
    found = paired([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (found.mean, found.low, found.high, found.better, found.worse) == (0, 0, 0, 0, 0)


def test_a_common_shift_has_no_spread():
    found = paired([0.0, 1.0, 2.0], [0.5, 1.5, 2.5])
    assert (found.mean, found.low, found.high, found.better, found.n) == (0.5, 0.5, 0.5, 3, 3)


def test_swapping_the_two_turns_the_sign():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=12), rng.normal(size=12)
    one, other = paired(a, b), paired(b, a)
    assert one.mean == -other.mean
    assert (one.better, one.worse) == (other.worse, other.better)
    assert one.low == pytest.approx(-other.high)


def test_the_interval_repeats_and_agrees_with_the_normal_one():
    rng = np.random.default_rng(1)
    d = rng.normal(0.3, 1.0, 200)
    found = paired(np.zeros(200), d)
    assert found == paired(np.zeros(200), d)
    half = 1.96 * d.std() / np.sqrt(200)
    assert found.low == pytest.approx(d.mean() - half, abs=0.01)
    assert found.high == pytest.approx(d.mean() + half, abs=0.01)


def test_one_person_has_no_interval_and_unequal_numbers_are_refused():
    assert paired([1.0], [2.0]).low is None
    for a, b in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="the same people"):
            paired(a, b)
