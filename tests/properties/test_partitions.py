"""Laws of partitions: every index exactly once, nobody empty, and nothing crosses a hold-out."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.data.partition import by_column, contiguous, dirichlet, hold_out, iid, pooled
from coterie.data.table import Table

labels = st.lists(st.sampled_from(["cup", "hat", "dog", "Dog", "sun"]), min_size=1, max_size=40)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=80, deadline=None)


def table(values, **columns):
    return Table(np.zeros((len(values), 1, 1, 3), np.uint8), tuple(values), {"label": tuple(values), **columns})


def covers_once(shares, size):
    assert sorted(index for share in shares.values() for index in share) == list(range(size))
    assert all(share and share == sorted(share) for share in shares.values())
    assert all(type(index) is int for share in shares.values() for index in share)


@few
@given(labels, seeds, st.data())
def test_every_partition_covers_each_index_exactly_once(values, seed, data):
    rows = table(values)
    num_clients = data.draw(st.integers(1, len(values)))
    alpha = data.draw(st.floats(1e-3, 1e3))
    covers_once(pooled(rows), len(values))
    covers_once(by_column(rows, "label"), len(values))
    some = (
        iid(rows, num_clients, seed),
        contiguous(rows, num_clients),
        dirichlet(rows, "label", alpha, num_clients, seed),
    )
    for shares in some:
        covers_once(shares, len(values))
        assert len(shares) == num_clients
    assert dirichlet(rows, "label", alpha, num_clients, seed) == dirichlet(rows, "label", alpha, num_clients, seed)


def test_sections_are_of_rows_that_follow_on_one_another_in_each_split():
    rows = table("abcdefgh", split=("train",) * 6 + ("test",) * 2)
    assert list(contiguous(rows, 2).values()) == [[0, 1, 2, 6], [3, 4, 5, 7]]


@few
@given(labels, seeds, st.data())
def test_a_document_stays_whole_and_is_dealt_out_whole(values, seed, data):
    names = data.draw(
        st.lists(st.sampled_from(["", "one", "two", "three"]), min_size=len(values), max_size=len(values))
    )
    rows = table(values, document=tuple(names))
    documents = len({name for name in names if name}) + names.count("")
    num_clients = data.draw(st.integers(1, documents))
    for shares in (
        iid(rows, num_clients, seed),
        contiguous(rows, num_clients),
        dirichlet(rows, "label", 0.5, num_clients, seed),
    ):
        covers_once(shares, len(values))
        holders = {
            name: {c for c, share in shares.items() for i in share if names[i] == name} for name in names if name
        }
        assert all(len(clients) == 1 for clients in holders.values())


@few
@given(labels, seeds, st.floats(0.01, 0.99), st.data())
def test_nothing_crosses_a_hold_out(values, seed, share, data):
    subjects = tuple(data.draw(st.lists(st.sampled_from("123456789"), min_size=len(values), max_size=len(values))))
    rows = table(values, subject=subjects)
    indices = data.draw(st.lists(st.integers(0, len(values) - 1), unique=True, min_size=1))
    train, held_out = hold_out(rows, indices, share, seed)
    assert sorted(train + held_out) == sorted(indices)
    assert train
    for column in ([v.casefold() for v in values], subjects):
        assert not {column[i] for i in train} & {column[i] for i in held_out}
