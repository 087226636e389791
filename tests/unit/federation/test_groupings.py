import itertools

import numpy as np
import pytest

from coterie.core.errors import UserError
from coterie.core.protocols import Facts
from coterie.federation.groupings.oracle import Oracle
from coterie.federation.groupings.random import Random
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.sampling import sample
from coterie.federation.splits.agglomerative import Agglomerative
from coterie.federation.stable import stable_ids


def people(spread, per_group=3, groups=4, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.eye(16)[:groups]
    vectors = {}
    for g, i in itertools.product(range(groups), range(per_group)):
        vectors[f"{'wxyz'[g]}{i}"] = centres[g] + spread * rng.standard_normal(16)
    return vectors


def test_clear_groups_are_found_and_their_names_mean_nothing():
    vectors = people(0.05)
    found = Wishes().group(vectors, {}, 0)
    assert len(set(found.labels.values())) == 4
    assert all(found.labels[a] == found.labels[b] for a in vectors for b in vectors if a[0] == b[0])
    turned = Wishes().group(dict(reversed(list(vectors.items()))), {}, 0)
    assert turned.labels == found.labels


def test_noise_is_one_group():
    rng = np.random.default_rng(1)
    found = Wishes(Agglomerative(floor=0.3)).group({f"c{i}": rng.standard_normal(64) for i in range(8)}, {}, 0)
    assert set(found.labels.values()) == {"0"}
    assert found.numbers["group/silhouette"] < 0.3


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_are_one_group(count):
    assert set(Wishes().group({f"c{i}": np.eye(3)[i] for i in range(count)}, {}, 0).labels.values()) == {"0"}


def test_a_loner_stands_alone():
    vectors = people(0.05, groups=2)
    vectors["odd"] = -vectors["w0"]
    found = Wishes(Agglomerative(most=2)).group(vectors, {}, 0)
    assert list(found.labels.values()).count(found.labels["odd"]) == 1


def test_random_groups_have_the_sizes_asked_and_follow_the_seed():
    facts = {f"c{i}": Facts(1) for i in range(7)}
    found = Random(sizes=(4, 3)).group({}, facts, 5)
    assert sorted(list(found.labels.values()).count(g) for g in set(found.labels.values())) == [3, 4]
    assert found.labels == Random(sizes=(4, 3)).group({}, facts, 5).labels
    assert found.labels != Random(sizes=(4, 3)).group({}, facts, 6).labels
    with pytest.raises(UserError, match="add up to 8, not 7 clients"):
        Random(sizes=(4, 4)).group({}, facts, 5)


def test_oracle_needs_a_truth():
    with pytest.raises(UserError, match="has no label"):
        Oracle().group({}, {"a": Facts(1)}, 0)


def test_names_stay_with_their_members():
    first, used = stable_ids({}, {"a": "7", "b": "7", "c": "3"}, 0)
    assert first == {"a": "cluster-0", "b": "cluster-0", "c": "cluster-1"}
    renamed, again = stable_ids(first, {"a": "x", "b": "x", "c": "y"}, used)
    assert (renamed, again) == (first, used)
    split, more = stable_ids(first, {"a": "p", "b": "q", "c": "r"}, used)
    assert sorted(split.values()) == ["cluster-0", "cluster-1", "cluster-2"]
    assert split["c"] == "cluster-1"
    merged, last = stable_ids(split, dict.fromkeys("abc", "all"), more)
    assert last == more
    fresh, _ = stable_ids(merged, {"a": "1", "b": "1", "c": "1", "d": "2"}, last)
    assert fresh["d"] == f"cluster-{last}"


def test_a_cohort_covers_every_stratum_and_is_its_rounds_own():
    clients = [f"c{i}" for i in range(10)]
    strata = {c: "rare" if c == "c3" else "common" for c in clients}
    draws = [sample(clients, 0.3, strata, 0, r) for r in range(1, 30)]
    assert all("c3" in draw and len(draw) == 4 for draw in draws)
    assert len(set(draws)) > 5
    assert draws[0] == sample(clients[::-1], 0.3, strata, 0, 1)


def test_random_groups_without_sizes_have_those_of_the_true_ones():
    facts = {f"c{k}": Facts(1, truth) for k, truth in enumerate("aaabbc")}
    found = Random(sizes=()).group({}, facts, 5)
    labels = list(found.labels.values())
    assert sorted(labels.count(name) for name in set(labels)) == [1, 2, 3]
    assert found.labels == Random(sizes=(3, 2, 1)).group({}, facts, 5).labels
    with pytest.raises(UserError, match="no true groups are known"):
        Random(sizes=()).group({}, {"c0": Facts(1)}, 5)
