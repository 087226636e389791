import numpy as np
import pytest

from coterie.evals.kid import kernel_distance, spread


def by_hand(x, y):
    """Every pair in a loop, as the definition of the unbiased estimate has it."""

    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_it_is_the_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 4)), rng.normal(0.5, 1, size=(5, 4))
    assert kernel_distance(x, y) == pytest.approx(by_hand(x, y))
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(y, x))


def test_it_is_nothing_on_average_for_two_sets_of_one_kind_and_grows_with_what_separates_them():
    rng = np.random.default_rng(1)
    same = [kernel_distance(rng.normal(size=(20, 8)), rng.normal(size=(30, 8))) for _ in range(300)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)
    assert min(same) < 0  # unbiased, so not bounded by zero
    far = [kernel_distance(rng.normal(size=(60, 8)), rng.normal(shift, 1, size=(60, 8))) for shift in (0.5, 1, 2)]
    assert np.mean(same) < far[0] < far[1] < far[2]


def test_spread_is_none_for_equal_pictures_and_one_for_unlike_ones():
    assert spread(np.ones((4, 3))) == pytest.approx(0)
    assert spread(np.eye(5)) == pytest.approx(1)


def test_too_few_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distance(np.zeros((1, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="two pictures"):
        spread(np.zeros((1, 3)))
