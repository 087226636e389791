"""Laws of clustered training for every grouping and split on the shelves (algorithms 16.9, 16.10, 16.15)."""

import itertools
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.core.adapter import Adapter, Dense, Layout, LowRank, build
from coterie.core.groups import Grouped
from coterie.core.site import Facts
from coterie.core.update import Update
from coterie.engines.replies import ReplyMap, SumMap
from coterie.federation.forms.clustered import Clustered
from coterie.federation.forms.fedavg import FedAvg
from coterie.federation.groupings.weights import product, products
from coterie.federation.shelves import GROUPINGS, SPLITS
from coterie.federation.silhouette import distances
from coterie.federation.splits.kmeans import vectors_of
from coterie.federation.stable import loners

LAYOUT = Layout("b", (LowRank("to_q", 6, 5, 2, 0.5), LowRank("conv", 4, 9, 2, 1.0, (3, 3)), Dense("bias", (3,))))
WIDTH = 8
CUT = [name for name in GROUPINGS.names() if "split" in GROUPINGS[name].__dataclass_fields__]
PAIRS = [*itertools.product(CUT, SPLITS.names()), *((name, None) for name in ("given", "oracle", "random", "single"))]
SEEDS = st.integers(0, 2**20)


def test_every_grouping_on_the_shelf_is_tested_here():
    assert {name for name, _ in PAIRS} == set(GROUPINGS.names())


@dataclass
class Given:
    """A cohort that answers what it is told to: wishes at enrolment, then updates, or what is on the way to them."""

    people: dict
    absent: tuple = ()
    truths: dict = field(default_factory=dict)
    seed: int = 0
    pull: float = 1.0
    here: dict | None = None

    def __iter__(self):
        return iter(sorted(self.people))

    def __len__(self):
        return len(self.people)

    @property
    def facts(self):
        return {c: Facts(1, self.truths.get(c, c[0])) for c in self}

    @property
    def everybody(self):
        return self.here or self.facts

    async def map(self, half, inputs, part=None):
        if half.__name__ == "client_wish":
            return ReplyMap({c: self.people[c][0] for c in inputs if c not in self.absent}, {})
        answers = {c: self.trained(w, self.people[c][1]) for c, w in sorted(inputs.items())}
        if part is None:
            return ReplyMap(answers, {})
        sums = SumMap(part)
        for client, update in answers.items():
            sums.add(client, update)
        return sums

    def trained(self, w, update):
        row = update.adapter.row if self.pull == 1 else w.start.row + self.pull * (update.adapter.row - w.start.row)
        return replace(update, adapter=Adapter(LAYOUT, row))


def done(coroutine):
    """The value of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def crowd(seed, sizes=(3, 3), spread=0.1):
    """People ``a0, a1, b0, ...`` of clear groups, each with a wish and a trained adapter."""
    rng = np.random.default_rng(seed)
    wishes, rows = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0], rng.standard_normal((len(sizes), LAYOUT.size))
    people = {}
    for g, size in enumerate(sizes):
        for i in range(size):
            wish = torch.tensor(wishes[g] + spread * rng.standard_normal(WIDTH))
            row = torch.tensor(rows[g] + spread * rng.standard_normal(LAYOUT.size)).float()
            people[f"{'abcd'[g]}{i}"] = (wish, Update(Adapter(LAYOUT, row), float(rng.integers(1, 9))))
    return people


def grouping(name, split=None, count=6, **more):
    if name == "given":
        groups = {g: [f"{g}{i}" for i in range(10)] for g in "abcd"}
        return GROUPINGS.build({"name": name, "groups": groups})
    if name == "random":
        return GROUPINGS.build({"name": name, "sizes": [count - 2, 2]})
    return GROUPINGS.build({"name": name, **({"split": {"name": split, **more}} if split else {})})


def played(grouping, people, rounds=1, form=None, **more):
    form, cohort = form or Clustered(grouping), Given(people, **more)
    state = done(form.enrol(done(form.init(LAYOUT.start(1))), cohort))
    for _ in range(rounds):
        state = done(form.round(state, cohort))
    return state


def served(state, clients):
    return {c: state.clusters[state.labels[c]].row.tolist() for c in clients}


def partition(labels):
    return {frozenset(c for c in labels if labels[c] == k) for k in set(labels.values())}


@pytest.mark.parametrize(("name", "split"), PAIRS)
@settings(max_examples=5, deadline=None)
@given(SEEDS, st.randoms(use_true_random=False))
def test_who_comes_first_changes_nothing(name, split, seed, rng):
    """16.9, and 16.15: names of clusters are stable."""
    people = crowd(seed, spread=0.5)
    turned = list(people.items())
    rng.shuffle(turned)
    one, other = (played(grouping(name, split), some) for some in (people, dict(turned)))
    assert one.labels == other.labels
    assert served(one, people) == served(other, people)


@pytest.mark.parametrize(("name", "split"), [pair for pair in PAIRS if pair[1]])
@settings(max_examples=5, deadline=None)
@given(SEEDS, st.permutations(range(7)))
def test_what_clients_are_called_decides_no_group(name, split, seed, order):
    """16.9: clear groups are found under any names."""
    people = crowd(seed, (4, 3))
    called = dict(zip(people, [f"p{k}" for k in order], strict=True))
    state = played(grouping(name, split), {called[c]: who for c, who in people.items()})
    plain = played(grouping(name, split), people)
    if split != "hdbscan":  # which also finds denser parts in a clear group
        assert partition(plain.labels) == {frozenset({"a0", "a1", "a2", "a3"}), frozenset({"b0", "b1", "b2"})}
    assert partition(state.labels) == {frozenset(called[c] for c in group) for group in partition(plain.labels)}


@dataclass(frozen=True)
class Renamed:
    """Another grouping, its groups under other names in another order."""

    inner: object
    reads: ClassVar[str] = "wishes"

    def group(self, vectors, facts, seed):
        found = self.inner.group(vectors, facts, seed)
        return Grouped({c: f"x{9 - int(k)}" for c, k in reversed(found.labels.items())}, found.numbers)


@pytest.mark.parametrize("split", SPLITS.names())
@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_what_groups_are_called_changes_nothing(split, seed):
    """16.15."""
    people, plain = crowd(seed, (3, 2, 2)), grouping("wishes", split)
    one, other = played(plain, people, 2), played(Renamed(plain), people, 2)
    assert one.labels == other.labels
    assert {k: a.row.tolist() for k, a in one.clusters.items()} == {
        k: a.row.tolist() for k, a in other.clusters.items()
    }


@pytest.mark.parametrize(("name", "split"), [pair for pair in PAIRS if pair[0] not in ("random", "oracle", "given")])
@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_one_cluster_is_federated_averaging_to_the_bit(name, split, seed):
    """16.15."""
    people = crowd(seed, spread=0.3)
    alike = {"floor": 1.0} if split == "hdbscan" else {"clusters": 1}
    average = played(None, people, 2, FedAvg())
    state = played(grouping(name, split, **alike), people, 2)
    assert served(state, people) == dict.fromkeys(people, average.w.row.tolist())


@pytest.mark.parametrize(
    ("name", "split"), [pair for pair in PAIRS if pair[1] not in (None, "hdbscan")] + [("oracle", None)]
)
@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_everybody_alone_keeps_what_it_trained_to_the_bit(name, split, seed):
    """16.15: singletons are local training. (Hdbscan calls a crowd in which nobody is near anybody one group.)"""
    people = crowd(seed)
    state = played(grouping(name, split, clusters=len(people)), people, truths={c: c for c in people})
    assert served(state, people) == {c: update.adapter.row.tolist() for c, (_, update) in people.items()}
    assert loners(state.labels) == sorted(people)
    if name != "wishes" and name != "oracle":  # these grouped before the round
        assert state.numbers["group/loners"] == len(people)


@pytest.mark.parametrize(("name", "split"), PAIRS)
@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_weights_count_as_shares(name, split, seed):
    """16.10: seven times the examples, a client without any, and a client in two halves change nothing."""
    people = crowd(seed)
    plain = played(grouping(name, split), people)
    heavy = {c: (wish, replace(u, weight=7 * u.weight)) for c, (wish, u) in people.items()}
    assert served(played(grouping(name, split), heavy), people) == served(plain, people)
    if name == "random" or split == "hdbscan":  # another number of clients is another draw, or another density
        return
    wish, update = people["a0"]
    idle = {**people, "a9": (wish, Update(LAYOUT.start(1), 0.0))}
    assert served(played(grouping(name, split), idle), people) == served(plain, people)
    halves = {**people, "a0": (wish, replace(update, weight=update.weight / 2))}
    halves["a8"] = (wish, replace(update, weight=update.weight / 2))
    got, wanted = served(played(grouping(name, split), halves), people), served(plain, people)
    assert all(np.allclose(got[c], wanted[c], rtol=1e-6, atol=1e-7) for c in people)


def test_a_cluster_in_which_nobody_has_an_example_stays_as_it_was():
    people = crowd(0, (2, 2))
    people |= {c: (people[c][0], Update(LAYOUT.start(1), 0.0)) for c in ("b0", "b1")}
    state = played(grouping("oracle"), people)
    assert state.clusters[state.labels["b0"]].row.tolist() == LAYOUT.start(1).row.tolist()
    assert state.clusters[state.labels["a0"]].row.tolist() != LAYOUT.start(1).row.tolist()


@pytest.mark.parametrize("name", ["weights", "both"])
@pytest.mark.parametrize("split", SPLITS.names())
def test_who_has_not_answered_has_a_cluster_until_it_is_grouped(name, split):
    people = crowd(3, (5, 4))
    form, everybody = Clustered(grouping(name, split)), Given(people)
    state = done(form.enrol(done(form.init(LAYOUT.start(1))), everybody))
    for count, asked in enumerate((["a0", "b0", "b1", "a1"], ["a1", "a2"], ["a3", "b2", "b3"], ["a4"]), 1):
        state = done(form.round(state, Given({c: people[c] for c in asked}, pull=0.4, here=everybody.facts)))
        assert set(state.labels) == set(people)
        assert all(form.serve(state, c) is not None for c in people)
        assert state.numbers["group/unseen"] == (0 if count == 4 else len(people) - len(state.answered))
    assert set(state.answered) == set(people)
    at_once = played(grouping(name, split), people, pull=0.4)
    assert partition(state.labels) == partition(at_once.labels)
    assert all(len({c[0] for c in group}) == 1 for group in partition(state.labels))
    if split != "hdbscan":
        assert len(partition(state.labels)) == 2
    again = done(form.round(state, everybody))
    assert again.labels == state.labels
    assert "group/silhouette" not in again.numbers


@pytest.mark.parametrize("split", SPLITS.names())
def test_without_an_answer_to_the_first_question_one_begins_with_the_largest_group(split):
    people = crowd(4, (4, 3))
    state = played(grouping("wishes", split), people, absent=("b2",))
    largest = max(map(len, partition({c: k for c, k in state.labels.items() if c != "b2"})))
    assert sum(k == state.labels["b2"] for k in state.labels.values()) == largest + 1


def test_both_takes_wishes_first_and_then_what_was_learned():
    """Wishes that say two groups, training that says they are one and another's two."""
    people = crowd(5, (4, 4))
    trained = crowd(6, (4, 4))
    crossed = dict(zip(people, ["a0", "a1", "b0", "b1", "a2", "a3", "b2", "b3"], strict=True))
    people = {c: (wish, trained[crossed[c]][1]) for c, (wish, _) in people.items()}
    by_wish, by_training = (
        {frozenset(c for c in people if f(c) == g) for g in "ab"} for f in (lambda c: c[0], lambda c: crossed[c][0])
    )
    for share, wanted in ((1.0, by_wish), (0.0, by_training)):
        chosen = GROUPINGS.build({"name": "both", "share": share})
        assert partition(played(chosen, people, rounds=0).labels) == by_wish
        assert partition(played(chosen, people).labels) == wanted
    middle = GROUPINGS.build({"name": "both", "split": {"clusters": 4}})
    assert partition(played(middle, people).labels) == {w & t for w in by_wish for t in by_training}


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_products_of_changes_are_those_of_the_dense_changes(seed):
    """Also with ranks that differ, after another start, and in any gauge."""
    rng = torch.Generator().manual_seed(seed)

    def one(rank):
        where = LAYOUT.with_rank(rank)
        return Adapter(where, torch.randn(where.size, generator=rng))

    def dense(adapter):
        flat = []
        for i, part in enumerate(adapter.layout.parts):
            if isinstance(part, LowRank):
                b, a = adapter.factors(i)
                flat.append((part.scale * b.double() @ a.double()).flatten())
            else:
                flat.append(adapter.dense(i).double())
        return torch.cat(flat)

    changes = [(LAYOUT.start(1), one(2)), (one(2), one(3)), (one(1), one(2))]
    moved = torch.stack([dense(end) - dense(start) for start, end in changes])
    assert np.allclose(products(changes), (moved @ moved.T).numpy(), rtol=1e-9, atol=1e-9)
    assert product(changes[0][1], changes[1][1]) == pytest.approx(float(dense(changes[0][1]) @ dense(changes[1][1])))
    start, end = changes[1]
    turn = torch.tensor([[0.0, 2.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 1.0]])
    pieces = []
    for i, part in enumerate(end.layout.parts):
        if isinstance(part, LowRank):
            b, a = end.factors(i)
            pieces.append((b @ torch.linalg.inv(turn), turn @ a))
        else:
            pieces.append(end.dense(i))
    changes[1] = (start, build(end.layout, pieces))
    assert np.allclose(products(changes), (moved @ moved.T).numpy(), rtol=1e-4, atol=1e-4)


@given(st.integers(1, 12), st.integers(1, 12), SEEDS)
@settings(max_examples=20, deadline=None)
def test_any_number_of_clusters_is_given_when_it_is_asked_for(count, clusters, seed):
    x = np.random.default_rng(seed).standard_normal((count, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[count // 2 :] = x[: count - count // 2]  # twins, which no centre can tell apart
    for name in ("agglomerative", "kmeans"):
        labels, _ = SPLITS.build({"name": name, "clusters": clusters}).split(x @ x.T, seed)
        assert len(set(labels.tolist())) == min(clusters, count)


@given(st.integers(2, 12), SEEDS)
@settings(max_examples=20, deadline=None)
def test_vectors_made_of_cosines_have_these_cosines(count, seed):
    x = np.random.default_rng(seed).standard_normal((count, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    made = vectors_of(x @ x.T)
    assert np.allclose(distances(made @ made.T), distances(x @ x.T), atol=1e-9)
