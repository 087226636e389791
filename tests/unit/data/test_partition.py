import numpy as np
import pytest

from coterie.core.errors import UserError
from coterie.data.partition import as_rows, by_column, dirichlet, hold_out, iid, pooled
from coterie.data.table import Table


def table(captions, **columns):
    values = {name: tuple(column) for name, column in columns.items()}
    return Table(np.zeros((len(captions), 2, 2, 3), np.uint8), tuple(captions), values)


def test_by_column_names_clients_by_value():
    assert by_column(table("abcd", who="yxyx"), "who") == {"x": [1, 3], "y": [0, 2]}


def test_iid_is_even_and_seeded():
    shares = iid(table("abcdefg"), 3, seed=1)
    assert sorted(map(len, shares.values())) == [2, 2, 3]
    assert list(shares) == ["client-1", "client-2", "client-3"]
    assert shares == iid(table("abcdefg"), 3, seed=1)
    assert shares != iid(table("abcdefg"), 3, seed=2)


def test_dirichlet_goes_from_one_label_each_to_all_alike():
    big = table("x" * 400, label="ab" * 200)
    even = [dirichlet(big, "label", 1e5, 4, seed) for seed in range(3)]
    assert all(90 < len(share) < 110 for shares in even for share in shares.values())
    skewed = [dirichlet(big, "label", 0.01, 4, seed) for seed in range(3)]
    assert all(max(map(len, shares.values())) >= 150 for shares in skewed)


def test_dirichlet_survives_a_vanishing_alpha():
    shares = dirichlet(table("x" * 9, label="abc" * 3), "label", 1e-300, 9, seed=0)
    assert [len(share) for share in shares.values()] == [1] * 9


def test_pooled_is_everyone():
    assert pooled(table("abc")) == {"everyone": [0, 1, 2]}


def test_hold_out_follows_the_split_column():
    split = ("train", "test", "validation", "train")
    assert hold_out(table("abcd", split=split), [0, 1, 2], 0.5, seed=0) == ([0], [1, 2])


def test_hold_out_keeps_equal_captions_and_subjects_together():
    linked = table(["cup", "Cup", "hat", "cap", "dog"], subject=["1", "2", "2", "3", "4"])
    for seed in range(10):
        train, held_out = hold_out(linked, range(5), 0.4, seed)
        assert sorted(train + held_out) == [0, 1, 2, 3, 4]
        assert {0, 1, 2} <= set(train)
        assert held_out == [3, 4]


def test_hold_out_of_large_or_single_groups():
    assert hold_out(table("aaabb"), range(5), 0.2, seed=0) == ([0, 1, 2], [3, 4])
    assert hold_out(table("aaa"), range(3), 0.2, seed=0) == ([0, 1, 2], [])
    assert hold_out(table("a"), [0], 0.9, seed=0) == ([0], [])


def test_as_rows_counts_labels():
    counted = table("abcd", kind=("cup", "cup", "hat", "dog"))
    assert as_rows(counted, {"ann": [0, 1, 2], "bo": [3]}, "kind") == [("ann", 3, "cup 2, hat 1"), ("bo", 1, "dog 1")]
    assert as_rows(counted, {"bo": [3]}) == [("bo", 1, "d 1")]


def test_user_errors():
    rows = table("abc", label=("x", "", "y"), split=("train", "tset", "test"))
    with pytest.raises(UserError, match=r"^column: the pictures have no column 'labl'; did you mean 'label'\?$"):
        by_column(rows, "labl")
    with pytest.raises(UserError, match="there are no columns"):
        dirichlet(table("abc"), "label", 1.0, 2, seed=0)
    with pytest.raises(UserError, match=r"^column: row 1 \('b'\) has no 'label'$"):
        by_column(rows, "label")
    with pytest.raises(UserError, match=r"^num_clients: 4 clients cannot share 3 pictures"):
        iid(rows, 4, seed=0)
    with pytest.raises(UserError, match=r"^num_clients: 0 clients"):
        dirichlet(rows, "label", 1.0, 0, seed=0)
    for alpha in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"^alpha: "):
            dirichlet(rows, "label", alpha, 2, seed=0)
    with pytest.raises(UserError, match=r"^held_out: 1.0 is not above 0 and below 1"):
        hold_out(rows, [0], 1.0, seed=0)
    with pytest.raises(UserError, match=r"^split: row 1 is in 'tset'; did you mean 'test'\?$"):
        hold_out(rows, [0, 1], 0.5, seed=0)
