"""Laws of clusters that live on when people come, go and change their wishes (algorithms 1.3 and 16.15)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.adapter import Adapter, Layout, LowRank
from coterie.core.site import Facts
from coterie.federation.lives import Estate, Likeness, moved, parents, passed_on, regrouped, settled, told
from coterie.federation.stable import members_of, stable_ids

CLIENTS = [f"c{i}" for i in range(8)]
LAYOUT = Layout("b", (LowRank("to_q", 7, 6, 2, 0.5), LowRank("conv", 5, 18, 3, 1.5, (3, 3))))

groupings = st.dictionaries(st.sampled_from(CLIENTS), st.sampled_from("pqrs"), min_size=1)
wishes = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.1)


def adapter(seed):
    rng = torch.Generator().manual_seed(seed)
    return Adapter(LAYOUT, torch.randn(LAYOUT.size, generator=rng))


def dense(adapter):
    out = []
    for index, part in enumerate(adapter.layout.parts):
        b, a = adapter.factors(index)
        out.append(part.scale * b.double() @ a.double())
    return out


def partition(labels):
    return sorted(members_of(labels).values())


@given(st.lists(groupings, min_size=1, max_size=12))
def test_no_name_is_ever_given_again(sequence):
    """Whatever groupings follow each other and whoever comes and goes: a name that is gone never comes back."""
    labels, used, gone = {}, 0, set()
    for found in sequence:
        before = set(labels.values())
        labels, more = stable_ids(labels, found, used)
        now = set(labels.values())
        assert partition(labels) == partition(found)
        assert not now & gone
        assert now - before == {f"cluster-{k}" for k in range(used, more)}
        gone |= before - now
        used = more


@given(
    st.lists(st.tuples(groupings, st.lists(wishes, min_size=8, max_size=8)), min_size=1, max_size=8), st.floats(0, 1)
)
def test_nor_where_people_hesitate(sequence, margin):
    labels, used, gone, ever = {}, 0, set(), set()
    for found, rows in sequence:
        before = set(labels.values())
        vectors = dict(zip(CLIENTS, map(np.array, rows), strict=True))
        here = sorted(found)
        labels, used, _ = regrouped(
            labels, found, {c: vectors[c] for c in here}, here, used, margin if labels else None
        )
        assert list(labels) == here
        now = set(labels.values())
        assert not now & gone
        ever |= now
        assert all(int(name.removeprefix("cluster-")) < used for name in ever)
        gone |= before - now


@given(
    st.lists(
        st.tuples(groupings, st.sets(st.sampled_from(CLIENTS)), st.lists(wishes, min_size=8, max_size=8)), max_size=8
    ),
    st.floats(0, 1),
)
def test_a_name_follows_those_who_stay_together(sequence, margin):
    """Of those who are sorted in before and after: whoever are more than all that came or went besides keep their name.

    Newcomers whom no grouping has said anything of wait in the largest cluster, and have no say in what it is called.
    """
    labels, used, waiting, waits = {}, 0, (), set()
    for found, others, rows in sequence:
        here = sorted({*found, *others})
        before, known = labels, {c: n for c, n in labels.items() if c not in waits}
        vectors = {c: np.array(row) for c, row in zip(CLIENTS, rows, strict=True) if c in here}
        labels, used, waiting = regrouped(labels, found, vectors, here, used, margin if labels else None, waiting)
        waits = ((waits | set(here) - before.keys()) & set(here)) - found.keys()
        assert waiting == tuple(sorted(waits))
        for name, members in members_of(known).items():
            for group in members_of(found).values():
                left, came = set(members) & found.keys(), set(group) & known.keys()
                if len(left & came) > len(left ^ came):
                    assert {labels[c] for c in left & came} == {name}


@given(groupings, groupings, st.permutations("pqrs"), st.randoms())
def test_names_do_not_depend_on_what_a_grouping_calls_its_groups_nor_on_any_order(old, new, other, random):
    """algorithms 16.15."""
    renamed = {client: dict(zip("pqrs", other, strict=True))[group] for client, group in new.items()}
    shuffled = random.sample(sorted(renamed.items()), len(renamed))
    assert stable_ids(old, dict(shuffled), 4) == stable_ids(old, new, 4)


def test_where_as_many_members_are_shared_the_nearer_centre_has_the_name():
    vectors = {"a": [1, 0], "b": [1, 0.1], "c": [0.2, 1], "d": [0, 1], "e": [0, 1]}
    likeness = Likeness({c: np.array(v, dtype=float) for c, v in vectors.items()})
    old = dict.fromkeys("abcde", "cluster-0")
    split = {"a": "x", "b": "x", "c": "y", "d": "y", "e": "z"}  # two and two; the centre of all is nearer to c and d
    labels, used = stable_ids(old, split, 1, likeness)
    assert (labels["c"], labels["d"], used) == ("cluster-0", "cluster-0", 3)
    assert stable_ids(old, split, 1)[0]["a"] == "cluster-0"  # without centres the first one has it


@given(st.dictionaries(st.sampled_from(CLIENTS), wishes, min_size=2), st.data())
def test_cosines_of_centres_from_inner_products_are_those_of_the_centres(vectors, data):
    some, others = (data.draw(st.lists(st.sampled_from(sorted(vectors)), min_size=1, unique=True)) for _ in range(2))
    one, other = (np.mean([vectors[c] for c in clients], 0) for clients in (some, others))
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    wanted = float(one @ other / norms) if norms > 1e-3 else None
    got = Likeness({c: np.array(v) for c, v in vectors.items()})(some, others)
    if wanted is not None:
        assert got == pytest.approx(wanted, abs=1e-6)


def test_adapters_are_compared_by_what_they_do():
    one, other = adapter(1), adapter(2)
    inner = sum(float((a * b).sum()) for a, b in zip(dense(one), dense(other), strict=True))
    norms = [sum(float(a.square().sum()) for a in dense(x)) ** 0.5 for x in (one, other)]
    nothing = one.layout.zeros()
    assert Likeness({"x": (nothing, one), "y": (nothing, other)})(["x"], ["y"]) == pytest.approx(
        inner / norms[0] / norms[1]
    )


@given(groupings, groupings, st.lists(wishes, min_size=8, max_size=8), st.floats(0, 2))
def test_who_changes_clusters_has_a_reason_and_who_has_none_stays(old, new, rows, margin):
    likeness = Likeness(dict(zip(CLIENTS, map(np.array, rows), strict=True)))
    names, _ = stable_ids(old, new, 100)
    labels, members = settled(old, names, likeness, margin), members_of(names)
    for client, name in names.items():
        before = old.get(client)
        if before == name or before not in members:
            assert labels[client] == name
            continue
        others = [c for c in members[name] if c != client] or [client]
        gain = likeness([client], others) - likeness([client], members[before])
        assert labels[client] == (name if gain > margin else before)


def test_hysteresis_holds_a_small_step_across_a_border_and_lets_a_large_one_pass():
    def at(angle):
        return np.array([np.cos(angle), np.sin(angle)])

    old = {"a": "left", "b": "left", "x": "left", "y": "right", "z": "right"}
    ends = {"a": at(0), "b": at(0), "y": at(1), "z": at(1)}
    for angle, stays in ((0.50, True), (0.52, True), (0.7, False)):
        found = {"a": "p", "b": "p", "x": "q", "y": "q", "z": "q"}
        labels, *_ = regrouped(old, found, {**ends, "x": at(angle)}, sorted(old), 2, 0.05)
        assert (labels["x"] == "left") is stays, angle
        assert regrouped(old, found, {**ends, "x": at(angle)}, sorted(old), 2, None)[0]["x"] == "right"


def test_wishes_that_moved_are_told_by_their_angle():
    one = torch.tensor([1.0, 0.0])
    near, far = (torch.tensor([np.cos(a), np.sin(a)]).float() for a in (0.31, 0.33))  # 1 - cos: 0.0477 and 0.0540
    assert not moved({"a": one}, {"a": near, "b": far})
    assert moved({"a": one}, {"a": far})


@given(groupings, groupings, st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_inheritance_is_a_share_of_what_members_bring(old, new, counts):
    facts = {c: Facts(n) for c, n in zip(CLIENTS, counts, strict=True)}
    labels, _ = stable_ids(old, new, 100)
    inherits = parents(old, labels, facts)
    living, known = set(labels.values()), set(old.values())
    assert set(inherits) == living
    for name, shares in inherits.items():
        assert sum(shares.values()) == pytest.approx(1 if shares else 0)
        came_from = {old[c] for c in labels if labels[c] == name and c in old}
        if name in known:
            assert set(shares) == {name} | (came_from - living)
        else:
            assert set(shares) == came_from
    ended = {old[c] for c in labels if c in old} - living
    assert ended <= {parent for shares in inherits.values() for parent in shares}  # nothing learned is lost


def estate(**seeds):
    return Estate({n: adapter(s) for n, s in seeds.items()}, {n: ("state", n) for n in seeds}, {})


def fresh(adapter):
    return "fresh"


def test_a_cluster_that_splits_off_begins_with_a_copy_of_its_parents_adapter_and_state():
    old, new = dict.fromkeys("abcd", "A"), {"a": "A", "b": "A", "c": "B", "d": "B"}
    before = estate(A=1)
    after = passed_on(before, parents(old, new, dict.fromkeys("abcd", Facts(3))), adapter(0), fresh)
    assert torch.equal(after.clusters["B"].row, before.clusters["A"].row)
    assert torch.equal(after.clusters["A"].row, before.clusters["A"].row)
    assert after.agg == {"A": ("state", "A"), "B": ("state", "A")}
    assert after.past == {}


def test_clusters_that_merge_begin_with_the_mean_of_what_they_did_by_examples():
    """The mean of the dense updates, weighted by examples, at the best rank: against an SVD of the dense mean."""
    old, new = {"a": "A", "b": "A", "c": "B", "d": "C"}, dict.fromkeys("abcd", "A")
    facts = {"a": Facts(3), "b": Facts(5), "c": Facts(4), "d": Facts(12)}
    before = estate(A=1, B=2, C=3)
    after = passed_on(before, parents(old, new, facts), adapter(0), fresh)
    shares = {"A": 8 / 24, "B": 4 / 24, "C": 12 / 24}
    assert parents(old, new, facts) == {"A": shares}
    for index, part in enumerate(LAYOUT.parts):
        mean = sum(share * dense(before.clusters[name])[index] for name, share in shares.items())
        u, s, vt = torch.linalg.svd(mean, full_matrices=False)
        best = u[:, : part.rank] * s[: part.rank] @ vt[: part.rank]
        got = dense(after.clusters["A"])[index]
        assert (got - best).norm() <= 1e-5 * best.norm()
    assert after.agg == {"A": "fresh"}  # the old state belonged to other factors
    assert after.past == {}


def test_who_merely_moves_brings_nothing_and_a_cluster_of_new_people_begins_at_the_start():
    old, new = {"a": "A", "b": "A", "c": "B", "d": "B"}, {"a": "A", "b": "B", "c": "B", "d": "B", "e": "C"}
    before, root = estate(A=1, B=2), adapter(0)
    after = passed_on(before, parents(old, new, dict.fromkeys("abcde", Facts(3))), root, fresh)
    assert torch.equal(after.clusters["B"].row, before.clusters["B"].row)
    assert torch.equal(after.clusters["C"].row, root.row)
    assert told(old, new)["life/moved"] == 1
    assert told(old, new)["life/born"] == 1
    assert told(old, new)["life/died"] == 0


def test_what_everybody_left_stays_published():
    old, new = {"a": "A", "b": "B"}, {"a": "A"}
    before = estate(A=1, B=2)
    after = passed_on(before, parents(old, new, {"a": Facts(3)}), adapter(0), fresh)
    assert set(after.clusters) == set(after.agg) == {"A"}
    assert torch.equal(after.past["B"].row, before.clusters["B"].row)
