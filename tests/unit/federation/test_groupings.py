import itertools
import time

import numpy as np
import pytest

from coterie.core.errors import UserError
from coterie.core.site import Facts
from coterie.federation.groupings.oracle import Oracle
from coterie.federation.groupings.random import Random
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.sampling import invite
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
    draws = [invite(clients, 0.3, 0.0, strata, 0, r).clients for r in range(1, 30)]
    assert all("c3" in draw and len(draw) == 4 for draw in draws)
    assert len(set(draws)) > 5
    assert draws[0] == invite(clients[::-1], 0.3, 0.0, strata, 0, 1).clients


def test_random_groups_without_sizes_have_those_of_the_true_ones():
    facts = {f"c{k}": Facts(1, truth) for k, truth in enumerate("aaabbc")}
    found = Random(sizes=()).group({}, facts, 5)
    labels = list(found.labels.values())
    assert sorted(labels.count(name) for name in set(labels)) == [1, 2, 3]
    assert found.labels == Random(sizes=(3, 2, 1)).group({}, facts, 5).labels
    with pytest.raises(UserError, match="no true groups are known"):
        Random(sizes=()).group({}, {"c0": Facts(1)}, 5)


@pytest.mark.parametrize("seed", range(6))
def test_one_linkage_finds_what_a_clustering_for_each_number_of_groups_finds(seed):
    """Every cut against scikit-learn's own, and the best of them."""
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    unit = np.stack(list(people(0.5, per_group=4, seed=seed).values()))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distance, 0)
    best, chosen = -1.0, None
    for k in range(2, len(unit)):
        labels = AgglomerativeClustering(k, metric="precomputed", linkage="average").fit_predict(distance)
        score = silhouette_score(distance, labels, metric="precomputed")
        if score > best + 1e-9:
            best, chosen = score, labels
    for k in range(1, len(unit) + 1):
        labels = AgglomerativeClustering(k, metric="precomputed", linkage="average").fit_predict(distance)
        assert adjusted_rand_score(Agglomerative(clusters=k).split(unit @ unit.T, 0)[0], labels) == 1.0
    found, numbers = Agglomerative(floor=0.0, loner=2.0).split(unit @ unit.T, 0)
    assert adjusted_rand_score(found, chosen) == 1.0
    assert numbers["group/silhouette"] == pytest.approx(best, abs=1e-12)


def test_a_thousand_clients_are_grouped_and_named_in_seconds():
    vectors = people(0.02, per_group=250)
    began = time.monotonic()
    found = Wishes().group(vectors, {}, 0)
    labels, _ = stable_ids({}, found.labels, 0)
    stable_ids(labels, {c: c for c in labels}, 4)
    assert len(set(labels.values())) == 4
    assert time.monotonic() - began < 30
