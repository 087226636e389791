"""The timetable: shares are kept, steps are spread, clients meet as often as can be, and nobody depends on a mate."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.bank.schedule import passes, plain_turns, turns

pictures = st.lists(st.integers(0, 20), min_size=1, max_size=11).filter(any)


@given(pictures, st.integers(0, 60), st.integers(0, 2**62))
def test_each_bucket_gets_its_share_of_the_steps(counts, steps, seed):
    found = Counter(turn.bucket for turn in turns(counts, steps, seed))
    assert sum(found.values()) == steps
    for bucket, count in enumerate(counts):
        assert abs(found[bucket] - steps * count / sum(counts)) < 1


def test_over_many_fits_every_picture_is_seen_equally_often():
    counts, found = [1, 6, 3], Counter()
    for seed in range(2000):
        found.update(turn.bucket for turn in turns(counts, 3, seed))
    for bucket, count in enumerate(counts):
        assert found[bucket] / 6000 == pytest.approx(count / 10, abs=0.01)


@given(st.lists(st.tuples(pictures, st.integers(0, 30), st.integers(0, 99)), min_size=1, max_size=6))
def test_no_schedule_has_fewer_passes_and_everybody_keeps_their_order(clients):
    own = [turns(*client) for client in clients]
    found = passes(own)
    most = [max(Counter(turn.bucket for turn in one)[bucket] for one in own) for bucket in range(11)]
    assert len(found) == sum(most)
    for k, one in enumerate(own):
        assert [bucket for bucket, members in found if k in members] == [turn.bucket for turn in one]


def test_a_buckets_steps_are_spread():
    order = [turn.bucket for turn in turns([12, 4], 32, 5)]
    where = [i for i, bucket in enumerate(order) if bucket == 1]
    assert len(where) == 8
    assert max(b - a for a, b in pairwise(where)) <= 8


def test_without_buckets_all_go_step_by_step():
    assert passes([plain_turns(1), plain_turns(3), plain_turns(2)]) == [(0, [0, 1, 2]), (0, [1, 2]), (0, [1])]
