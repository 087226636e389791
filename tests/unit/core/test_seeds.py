import pytest

from coterie.core.seeds import seed_for


@pytest.mark.parametrize("other", [(1, 1, "ada", "fit"), (0, 2, "ada", "fit"), (0, 1, "bo", "fit"), (0, 1, "ada", "x")])
def test_every_part_of_the_name_makes_another_stream(other):
    assert seed_for(0, 1, "ada", "fit") != seed_for(*other)
    assert 0 <= seed_for(*other) < 2**63


def test_no_two_names_run_together():
    assert seed_for(0, 1, "a", "bc") != seed_for(0, 1, "ab", "c")
    assert seed_for(1, 11, "a", "b") != seed_for(11, 1, "a", "b")


def test_seeds_never_change_between_versions():
    assert seed_for(0, 1, "ada", "fit") == 1946352968297647169
