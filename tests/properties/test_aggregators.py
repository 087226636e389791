"""Algebraic laws of every aggregator on the shelf (algorithms 16.1 to 16.4, 16.9, 16.10)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.rounds import SHAPES, Round, adapter, built, close, dense, layout

from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.core.errors import UserError
from coterie.core.update import Update
from coterie.engines.replies import ReplyMap, SumMap
from coterie.federation.aggregators.rank_bands import band_weights
from coterie.federation.aggregators.ties import elected_mean, trimmed
from coterie.federation.groupings import weights
from coterie.federation.groupings.weights import product
from coterie.federation.products import cut, mean_of_products, refactor
from coterie.federation.shelves import AGGREGATORS
from coterie.runs.reading import make_recipe

RULES = AGGREGATORS.names()
FREE = [rule for rule in RULES if AGGREGATORS[rule].asks != "factor"]  # both factors are the clients' own
WEIGHTS = st.lists(st.floats(0.1, 50), min_size=2, max_size=4)


def replies(adapters, weights):
    return ReplyMap({f"c{i:02d}": Update(a, w) for i, (a, w) in enumerate(zip(adapters, weights, strict=True))}, {})


def apply(rule, current, adapters, weights):
    made = built(rule)
    return made.apply(made.init(current), current, replies(adapters, weights))


def turned(one, seed=0):
    """The same updates, written with other factors."""
    pieces = []
    for index, part in enumerate(one.layout.parts):
        b, a = one.factors(index)
        rng = torch.Generator().manual_seed(seed + index)
        m = torch.eye(part.rank) * 3 + torch.randn(part.rank, part.rank, generator=rng)
        pieces.append((b @ torch.linalg.inv(m), m @ a))
    other = build(one.layout, pieces)
    close(other, one, 1e-4)
    return other


def of_ranks(rule, seed, count):
    """Clients' adapters with the ranks that a rule can mix, and a current one that can hold their mean."""
    if AGGREGATORS[rule].mixed_ranks:
        return [adapter(seed + k, 1 + k % 3) for k in range(count)], adapter(seed + 90, 3 * count)
    return [adapter(seed + k) for k in range(count)], adapter(seed + 90)


def mean_effect(played, weights):
    total = sum(weights)
    return [sum(w / total * e[i] for w, e in zip(weights, played.effects, strict=True)) for i in range(len(SHAPES))]


def test_there_are_rules():
    assert len(RULES) >= 7
    assert len(FREE) < len(RULES)


@pytest.mark.parametrize("rule", RULES)
@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=5))
def test_identical_clients_give_that_client(rule, weights):
    """16.1"""
    played = Round(rule, adapter(2), [adapter(1)] * len(weights), weights)
    close(played.served, played.effects[0])


@pytest.mark.parametrize("rule", [rule for rule in RULES if AGGREGATORS[rule].exact])
@given(st.integers(0, 50), WEIGHTS)
def test_an_exact_rule_serves_the_mean_of_what_clients_do(rule, seed, weights):
    """16.2, in every one of three rounds, the clients of which begin where the last one ended."""
    trained, current = of_ranks(rule, seed, len(weights))
    state = None
    for number in range(3):
        played = Round(rule, current, trained, weights, state)
        close(played.served, mean_effect(played, weights), 2e-5)
        state, current = played.state, played.adapter
        trained = [adapter(seed + 10 * number + k, a.layout.parts[0].rank) for k, a in enumerate(trained)]


@pytest.mark.parametrize("rule", [rule for rule in RULES if not AGGREGATORS[rule].exact])
def test_a_rule_that_is_not_exact_serves_something_else(rule):
    trained, current = of_ranks(rule, 5, 3)
    played = Round(rule, current, trained, [1.0, 2.0, 3.0])
    wanted = mean_effect(played, [1.0, 2.0, 3.0])
    assert (dense(played.served)[0] - wanted[0]).norm() > 0.01 * wanted[0].norm()


@pytest.mark.parametrize("rule", RULES)
@given(st.permutations(range(4)))
def test_the_order_of_arrival_changes_nothing(rule, order):
    """16.9"""
    trained, current = of_ranks(rule, 0, 4)
    names, weights = [f"c{i}" for i in range(4)], [1.0, 2.0, 3.0, 4.0]
    one = Round(rule, current, trained, weights, ids=names).served
    shuffled = ([x[i] for i in order] for x in (trained, weights, names))
    mixed, heavy, called = shuffled
    assert torch.equal(Round(rule, current, mixed, heavy, ids=called).served.row, one.row)


@pytest.mark.parametrize("rule", RULES)
def test_weights_count_as_shares(rule):
    """16.10: the size of all weights together, somebody without an example, one client who comes as two."""
    trained, current = of_ranks(rule, 0, 3)
    wanted = Round(rule, current, trained, [1.0, 2.0, 3.0]).served
    close(Round(rule, current, trained, [7.0, 14.0, 21.0]).served, wanted)
    close(Round(rule, current, [*trained, trained[1]], [1.0, 2.0, 3.0, 0.0]).served, wanted)
    twice = Round(rule, current, [*trained, trained[2]], [1.0, 2.0, 1.5, 1.5]).served
    if AGGREGATORS[rule].by_examples:
        close(twice, wanted)
    else:
        assert (dense(twice)[0] - dense(wanted)[0]).norm() > 0.01 * dense(wanted)[0].norm()


@pytest.mark.parametrize("rule", RULES)
def test_nobody_with_an_example_changes_nothing(rule):
    current = adapter(3)
    played = Round(rule, current, [adapter(1)], [0.0])
    assert played.adapter is current
    assert played.state == built(rule).init(current)


@pytest.mark.parametrize("rule", FREE)
def test_who_reads_single_factors_says_so(rule):
    """16.3: the same updates, written with other factors. Of the others the measured change is far from nothing."""
    trained, current = of_ranks(rule, 1, 2)
    plain = Round(rule, current, trained, [1, 1]).served
    other = Round(rule, current, [turned(trained[0]), trained[1]], [1, 1]).served
    change = (dense(plain)[1] - dense(other)[1]).norm() / dense(plain)[1].norm()
    assert (change > 0.05) == AGGREGATORS[rule].by_factors, float(change)
    if not AGGREGATORS[rule].by_factors:
        close(other, plain, 1e-4)


@pytest.mark.parametrize("rule", [rule for rule in RULES if AGGREGATORS[rule].linear])
def test_a_linear_rule_needs_no_single_reply(rule):
    trained, current = of_ranks(rule, 0, 3)
    played = Round(rule, current, trained, [1.0, 2.0, 3.0])
    made = built(rule)
    for some in (ReplyMap(played.values, {}, sealed=True), SumMap(lambda client, update: "all", sealed=True)):
        if isinstance(some, SumMap):
            for client, update in played.values.items():
                some.add(client, update)
        state, adapter_, _ = made.apply(played.asked, current, some)
        assert torch.equal(made.served(state, adapter_).row, played.served.row)


@pytest.mark.parametrize("rule", [rule for rule in RULES if not AGGREGATORS[rule].mixed_ranks])
def test_ranks_that_a_rule_cannot_mix_are_refused_before_the_run(rule):
    gives = {"below": "fedavg"}.get(AGGREGATORS[rule].asks, "fedavg")
    form = {"name": gives, "aggregator": rule}
    with pytest.raises(UserError) as caught:
        make_recipe({"form": form, "devices": {"ranks": [4, 8]}}, "toy.toml")
    assert str(caught.value).startswith(f"toy.toml: devices.ranks: form.aggregator {rule} averages adapters of one")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rule", RULES)
def test_what_travels_is_as_large_as_the_rule_says(rule):
    """The formulas of the reference, against the numbers in each message over three rounds."""
    state, current, made = None, layout(3).start(1), built(rule)
    for before in range(3):
        trained = [adapter(10 * before + k) for k in range(3)]
        played = Round(rule, current, trained, [1.0, 2.0, 3.0], state)
        task = played.tasks[0]
        down = task.start.layout.size + (task.beside.layout.size if task.beside is not None else 0)
        down += task.within.layout.size if task.within is not None else 0
        down += played.question.layout.size if played.question is not None else 0
        about = {"r": 3, "K": 3, "t": before, "min": min, "q": getattr(made, "width", 0)}
        for formula, size in ((made.up, played.sent[0]), (made.down, down)):
            wanted = sum(eval(formula, {**about, "m": m, "n": n}) for _, m, n in SHAPES)
            assert size == wanted, (formula, before)
        state, current = played.state, played.adapter


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10))
def test_product_svd_is_exact_up_to_its_rank_with_mixed_ranks_and_scales(rank_a, rank_b, seed):
    adapters = [adapter(seed, rank_a, 0.5), adapter(seed + 50, rank_b, 2.0)]
    wanted = [0.25 * x + 0.75 * y for x, y in zip(dense(adapters[0]), dense(adapters[1]), strict=True)]
    got, discarded = mean_of_products(adapters, [0.25, 0.75], adapter(0, rank_a + rank_b))
    close(got, wanted, 5e-6)
    assert discarded < 1e-10


@given(st.integers(1, 6), st.integers(0, 20))
def test_truncation_is_the_best_possible_and_its_error_is_told(rank, seed):
    rng = torch.Generator().manual_seed(seed)
    bs, rows = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((9, 6), (6, 8)))
    b, a, tail, energy = refactor(bs, rows, rank, torch.randn(rank, 8, generator=rng, dtype=torch.float64))
    s = torch.linalg.svdvals(bs @ rows)
    assert (b @ a - bs @ rows).square().sum() == pytest.approx(float(s[rank:].square().sum()), rel=1e-8, abs=1e-18)
    assert tail == pytest.approx(float(s[rank:].square().sum()), rel=1e-8, abs=1e-18)
    assert energy == pytest.approx(float(s.square().sum()), rel=1e-10)


def test_rank_bands_do_not_read_factors_of_mixed_ranks():
    """algorithms 16.3: components are ordered by singular value first."""
    one, other = adapter(1), turned(adapter(1))
    exact = [apply("rank_bands", adapter(9, 6), [x, adapter(2, 2)], [1, 1])[1] for x in (one, other)]
    close(exact[1], exact[0], 1e-4)


def test_the_gap_of_the_factor_average_is_the_covariance():
    """Section 10: D* - B A = sum_k w_k (B_k - B)(A_k - A)."""
    adapters, weights = [adapter(i, scale=1.0) for i in range(3)], [0.2, 0.3, 0.5]
    _, mean, _ = apply("mean", adapters[0], adapters, weights)
    for index in range(len(SHAPES)):
        b, a = (x.double() for x in mean.factors(index))
        exact = sum(w * dense(x)[index] for w, x in zip(weights, adapters, strict=True))
        gap = sum(
            w * (x.factors(index)[0].double() - b) @ (x.factors(index)[1].double() - a)
            for w, x in zip(weights, adapters, strict=True)
        )
        assert torch.allclose(exact - b @ a, gap, atol=1e-5)


def test_directions_that_carry_nothing_can_still_learn():
    zero = layout(3).start(1)
    _, got, numbers = apply("product_svd", layout(3).start(2), [zero, zero], [1, 1])
    assert numbers["aggregate/discarded_energy"] == 0
    for index in range(len(SHAPES)):
        b, a = got.factors(index)
        assert not b.any()
        assert (a.norm(dim=1) > 0).all()
    thin = adapter(1, rank=1)
    grown, _ = mean_of_products([thin], [1.0], adapter(2, rank=3))
    close(grown, thin)
    b, a = grown.factors(0)
    assert (a.norm(dim=1) > 0).all()
    assert torch.allclose((a @ a.T)[0, 1:], torch.zeros(2), atol=1e-5)


def test_mean_refuses_what_only_product_svd_can_do():
    with pytest.raises(UserError, match="use the aggregator product_svd"):
        apply("mean", adapter(1), [adapter(1), adapter(2, rank=2)], [1, 1])
    strange = Layout("b", (LowRank("to_q", 7, 6, 2),))
    with pytest.raises(UserError, match="cannot be averaged: to_q"):
        mean_of_products([strange.start(0)], [1.0], adapter(1))


@given(st.integers(0, 30))
def test_inner_products_of_factors_are_those_of_the_updates(seed):
    one, other = adapter(seed), adapter(seed + 100)
    wanted = sum(float((x * y).sum()) for x, y in zip(dense(one), dense(other), strict=True))
    assert product(one, other) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_ties_trims_elects_and_averages_what_agrees():
    one = torch.tensor([[4.0, -1.0, 0.5, -3.0]], dtype=torch.float64)
    other = torch.tensor([[-1.0, -2.0, 0.4, 5.0]], dtype=torch.float64)
    assert trimmed(one, 0.5).tolist() == [[4.0, 0.0, 0.0, -3.0]]
    assert trimmed(one, 1.0) is one
    got = elected_mean([trimmed(one, 0.5), trimmed(other, 0.5)], [1.0, 1.0])
    assert got.tolist() == [[4.0, -2.0, 0.0, 5.0]]
    heavier = elected_mean([one, other], [2.0, 1.0])
    assert torch.allclose(heavier, torch.tensor([[4.0, -4 / 3, 1.4 / 3, -3.0]], dtype=torch.float64))


@given(st.integers(0, 20))
def test_ties_loses_what_its_rank_cannot_hold(seed):
    adapters, like = [adapter(seed), adapter(seed + 50, rank=2)], adapter(9, rank=3)
    made = AGGREGATORS.build({"name": "ties", "density": 0.4})
    _, got, numbers = made.apply(None, like, replies(adapters, [1.0, 2.0]))
    tail = energy = 0.0
    for index, (one, other) in enumerate(zip(dense(adapters[0]), dense(adapters[1]), strict=True)):
        wanted = elected_mean([trimmed(one, 0.4), trimmed(other, 0.4)], [1.0, 2.0])
        values = torch.linalg.svdvals(wanted)
        tail, energy = tail + values[3:].square().sum(), energy + values.square().sum()
        assert torch.allclose((dense(got)[index] - wanted).norm(), values[3:].norm(), atol=1e-5)
    assert numbers["aggregate/discarded_energy"] == pytest.approx(float(tail / energy), rel=1e-6)


@given(st.integers(0, 20), st.lists(st.floats(0.1, 9), min_size=2, max_size=4))
def test_rank_bands_are_the_mean_of_products_at_equal_ranks_and_only_there(seed, weights):
    equal = [adapter(seed + k, 3, scale=0.5 + k) for k in range(len(weights))]
    close(apply("rank_bands", adapter(9, 6), equal, weights)[1], apply("product_svd", adapter(9, 6), equal, weights)[1])
    mixed = [adapter(seed, 1), *equal[1:]]
    bands, mean = (apply(rule, adapter(9, 6), mixed, weights)[1] for rule in ("rank_bands", "product_svd"))
    assert (dense(bands)[0] - dense(mean)[0]).norm() > 1e-3 * dense(mean)[0].norm()


@given(st.integers(0, 20))
def test_rank_bands_average_every_band_over_those_who_have_it(seed):
    """algorithms 10.8, written out with dense components."""
    ranks, weights = (1, 2, 2, 4), (0.1, 0.2, 0.3, 0.4)
    adapters = [adapter(seed + k, rank, scale=1.0 + k) for k, rank in enumerate(ranks)]
    got = apply("rank_bands", adapter(9, 5), adapters, weights)[1]
    for index in range(len(SHAPES)):
        wanted = 0.0
        for band in ((0, 1), (1, 2), (2, 4)):
            have = [k for k, rank in enumerate(ranks) if rank >= band[1]]
            for k in have:
                u, s, vt = torch.linalg.svd(dense(adapters[k])[index], full_matrices=False)
                component = (u[:, slice(*band)] * s[slice(*band)]) @ vt[slice(*band)]
                wanted = wanted + weights[k] / sum(weights[j] for j in have) * component
        best = torch.linalg.svdvals(wanted)
        gap = (dense(got)[index] - wanted).norm()
        assert gap <= best[5:].norm() + 1e-5 * wanted.norm()


def test_what_weak_clients_cannot_hold_does_not_fade_with_rank_bands():
    """Ranks 2, 2, 2, 8, equal weights and no learning: above rank 2 a plain mean keeps a quarter each round."""
    for rule, share in (("product_svd", 0.25), ("rank_bands", 1.0)):
        current = Adapter(layout(4), adapter(3, 4).row)
        begin = torch.linalg.svdvals(dense(current)[0])
        _, after, _ = apply(rule, current, [cut(current, 2), cut(current, 2), cut(current, 2), current], [1.0] * 4)
        end = torch.linalg.svdvals(dense(after)[0])
        assert torch.allclose(end[:2], begin[:2], rtol=1e-4)
        assert torch.allclose(end[2:4], share * begin[2:4], rtol=1e-4)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 50))
def test_the_shares_of_every_component_add_up_to_one(ranks, seed):
    weights = torch.rand(len(ranks), generator=torch.Generator().manual_seed(seed)).add(0.1).tolist()
    shares = band_weights(ranks, weights)
    for component in range(max(ranks)):
        assert sum(float(s[component]) for s in shares if len(s) > component) == pytest.approx(1.0)


@given(st.integers(1, 3), st.integers(0, 20))
def test_a_cut_is_the_closest_adapter_of_its_rank(rank, seed):
    whole = adapter(seed, 4)
    small = cut(whole, rank)
    assert {part.rank for part in small.layout.parts} == {rank}
    for one, other in zip(dense(whole), dense(small), strict=True):
        assert (one - other).norm() == pytest.approx(float(torch.linalg.svdvals(one)[rank:].norm()), rel=1e-4, abs=1e-5)
    assert cut(whole, 4) is whole
    begin = layout(4).start(1)
    assert torch.equal(cut(begin, rank).factors(0)[1], begin.factors(0)[1][:rank])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 30))
def test_many_inner_products_at_once_are_those_one_by_one(ranks, seed):
    adapters = [adapter(seed + k, rank, scale=1.0 + k) for k, rank in enumerate(ranks)]
    wanted = [[product(one, other) for other in adapters] for one in adapters]
    changes = [(one.layout.zeros(), one) for one in adapters]
    for block in (1, 2, 64):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(weights, "BLOCK", block)
            found = torch.from_numpy(weights.products(changes))
        assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@given(st.integers(0, 20))
def test_a_sketch_misses_what_it_is_too_narrow_for(seed):
    """algorithms 10.11: exact once the sketch is as wide as the rank of the mean, worse the narrower it is."""
    trained, current = [adapter(seed + k, 2) for k in range(2)], adapter(90, 5)
    errors = []
    for width in (1, 3, 4):
        played = Round(built("fedask", width=width), current, trained, [1.0, 1.0])
        wanted = mean_effect(played, [1.0, 1.0])
        errors.append(float((dense(played.served)[0] - wanted[0]).norm() / wanted[0].norm()))
    assert errors[2] < 1e-5 < errors[1] < errors[0]


@given(st.integers(0, 20))
def test_lora_fair_is_nearer_to_the_mean_of_products_than_the_mean_of_factors(seed):
    trained, weights = [adapter(seed + k) for k in range(3)], [1.0, 2.0, 3.0]
    gaps = []
    for rule in ("mean", "lora_fair"):
        played = Round(rule, adapter(90), trained, weights)
        wanted = mean_effect(played, weights)
        gaps.append(sum(float((x - y).norm()) ** 2 for x, y in zip(dense(played.served), wanted, strict=True)))
    assert gaps[1] < gaps[0]


def test_hetlora_fills_up_with_zeros_and_weighs_by_size():
    one, other = adapter(1, 1), adapter(2, 3)
    got = Round("hetlora", adapter(9, 3), [one, other], [5.0, 1.0]).adapter
    norms = [sum(float(x.norm()) ** 2 for x in dense(a)) ** 0.5 for a in (one, other)]
    shares = [norm / sum(norms) for norm in norms]
    (b1, _), (b2, a2), (b, a) = one.factors(0), other.factors(0), got.factors(0)
    assert torch.allclose(b[:, :1], shares[0] * b1 + shares[1] * b2[:, :1], atol=1e-6)
    assert torch.allclose(a[1:], shares[1] * a2[1:], atol=1e-6)
    task = built("hetlora").task(None, other, 2)
    assert torch.equal(task.start.factors(0)[0], other.factors(0)[0][:, :2])


@given(st.integers(0, 10))
def test_a_bound_on_what_lies_below_is_kept_and_what_it_left_out_is_told(seed):
    trained, current = [adapter(seed + k) for k in range(4)], adapter(90)
    for rule in ("fedex", "flora"):
        played = Round(built(rule, rank=2), current, trained, [1.0] * 4)
        assert all(part.rank <= 2 for part in played.state["below"].layout.parts)
        assert 0 < played.numbers["aggregate/discarded_energy"] < 1
        whole = Round(rule, current, trained, [1.0] * 4)
        assert whole.numbers["aggregate/discarded_energy"] == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 10))
def test_rows_of_a_are_orthonormal_after_fedsvd_and_the_update_is_that_of_ffa(seed):
    trained, current = [adapter(seed + k) for k in range(3)], adapter(90)
    got, plain = (Round(rule, current, trained, [1.0, 2.0, 3.0]).adapter for rule in ("fedsvd", "ffa"))
    close(got, plain, 1e-5)
    for index in range(len(SHAPES)):
        a = got.factors(index)[1]
        assert torch.allclose(a @ a.T, torch.eye(3), atol=1e-5)
