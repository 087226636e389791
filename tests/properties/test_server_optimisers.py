"""FedAvgM, FedAdam, FedYogi over every linear rule (algorithms 9 and 16.13)."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.rounds import Round, adapter, built

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.factors import only
from coterie.federation.shelves import AGGREGATORS, OPTIMISERS
from coterie.runs.reading import make_recipe
from coterie.wire.envelope import Header, pack, unpack

RULES = [rule for rule in AGGREGATORS.names() if hasattr(AGGREGATORS[rule], "server")]
WEIGHTS = [1.0, 2.0, 3.0]


def rounds(rule, server, count=4, through=lambda state: state, seed=0):
    """The adapters after each of some rounds in which three clients come up with something."""
    made, state, current, out = built(rule, server=server), None, adapter(90 + seed), []
    for number in range(count):
        trained = [adapter(100 * seed + 10 * number + k) for k in range(3)]
        played = Round(made, current, trained, WEIGHTS, state)
        state, current = through(played.state), played.adapter
        out.append(current)
    return out


def test_every_linear_rule_whose_factors_stay_takes_every_optimiser():
    assert {"mean", "ffa", "rolora"} <= set(RULES)
    assert all(AGGREGATORS[rule].linear for rule in RULES)
    assert set(OPTIMISERS.names()) == {"fedavg", "fedavgm", "fedadam", "fedyogi"}


@pytest.mark.parametrize("rule", RULES)
@given(st.integers(0, 30))
def test_without_momentum_it_is_federated_averaging(rule, seed):
    plain = rounds(rule, "fedavg", seed=seed)
    for one, other in zip(plain, rounds(rule, {"name": "fedavgm", "beta": 0.0}, seed=seed), strict=True):
        assert torch.allclose(one.row, other.row, atol=1e-6)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
@given(st.integers(0, 30), st.floats(1e3, 1e6))
def test_with_a_large_tau_an_adaptive_step_is_a_small_plain_one(name, seed, tau):
    """16.13: without moments the step is ``Delta / (sqrt(v) + tau)``, nearly ``Delta / tau``."""
    made = OPTIMISERS.build({"name": name, "rate": 1.0, "beta1": 0.0, "beta2": 0.0, "tau": tau})
    row = torch.zeros(50, dtype=torch.float64)
    change = torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    _, moved = made.step({"m": row, "v": torch.zeros_like(row)}, row, change)
    wanted = change / tau
    assert ((moved - wanted).abs() <= wanted.abs() * change.abs().max() / tau * (1 + 1e-9)).all()


def test_momentum_written_out():
    """Two rounds of arXiv:1909.06335 and of Algorithm 2 of arXiv:2003.00295, by hand."""
    one, two = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 0.5]).double()
    start = torch.tensor([10.0, 10.0]).double()
    m = OPTIMISERS.build({"name": "fedavgm", "beta": 0.5, "rate": 2.0})
    state, row = m.step(None, start, one)
    _, row = m.step(state, row, two)
    assert row.tolist() == [10 + 2 * 1 + 2 * (0.5 + 0.5), 10 - 2 * 2 + 2 * (-1 + 0.5)]
    for name, second in (
        ("fedadam", lambda v, d: 0.9 * v + 0.1 * d * d),
        ("fedyogi", lambda v, d: v - 0.1 * d * d * torch.sign(v - d * d)),
    ):
        made = OPTIMISERS.build({"name": name, "rate": 0.1, "beta1": 0.5, "beta2": 0.9, "tau": 0.01})
        state, row = made.step(None, start, one)
        v = second(torch.full((2,), 1e-4).double(), one)
        assert torch.allclose(row, start + 0.1 * 0.5 * one / (v.sqrt() + 0.01))
        _, after = made.step(state, row, two)
        v, moment = second(v, two), 0.25 * one + 0.5 * two
        assert torch.allclose(after, row + 0.1 * moment / (v.sqrt() + 0.01))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("server", ["fedavgm", "fedadam", "fedyogi"])
def test_a_checkpoint_between_any_two_rounds_changes_no_bit(rule, server):
    def saved(state):
        return unpack(pack(Header(), state, standalone=True))[1]

    for one, other in zip(rounds(rule, server), rounds(rule, server, through=saved), strict=True):
        assert torch.equal(one.row, other.row)


@pytest.mark.parametrize("server", ["fedavgm", "fedadam", "fedyogi"])
def test_what_is_frozen_has_no_momentum(server):
    frozen = rounds("ffa", server)
    assert all(torch.equal(only(one, "a").row, only(frozen[0], "a").row) for one in frozen)
    turns = rounds("rolora", server)
    for number, (one, other) in enumerate(itertools.pairwise(turns), 2):
        still, moved = ("b", "a") if number % 2 == 0 else ("a", "b")
        assert torch.equal(only(one, still).row, only(other, still).row)
        assert not torch.equal(only(one, moved).row, only(other, moved).row)


def test_all_clients_of_one_smaller_rank_are_moved_from_what_they_were_sent():
    made, current = built("mean", server={"name": "fedavgm", "beta": 0.0}), adapter(1)
    thin = [adapter(k, rank=2) for k in range(2)]
    got, plain = (Round(rule, current, thin, [1.0, 1.0]).adapter for rule in (made, "mean"))
    assert got.layout == plain.layout
    assert torch.allclose(got.row, plain.row, atol=1e-6)
    assert isinstance(got, Adapter)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (
            {"name": "clustered", "interaction": "similarity", "aggregator": {"name": "mean", "server": "fedadam"}},
            "form.aggregator mean.server fedadam remembers single factors, which form.interaction similarity writes",
        ),
        ({"name": "fedavg", "aggregator": {"name": "mean", "server": "fedadm"}}, "form.aggregator.server.name: no ser"),
        (
            {"name": "fedavg", "aggregator": {"name": "mean", "server": {"name": "fedavgm", "beta": 1}}},
            "form.aggregator.server.beta: input should be less than 1",
        ),
        (
            {"name": "rooted", "aggregator": "ffa"},
            "form.aggregator ffa lets clients train one factor alone, which the form rooted does not know; use ",
        ),
        ({"name": "clustered", "aggregator": "flora"}, "form.aggregator flora puts a frozen adapter below the one in"),
        (
            {"name": "fedavg", "aggregator": "fedex", "keeping": "ditto"},
            "form.aggregator fedex changes what lies below adapters, which form.keeping ditto trains on from round to",
        ),
        (
            {"name": "clustered", "aggregator": "rolora", "grouping": "weights"},
            "form.aggregator rolora lets clients train one factor alone, and form.grouping weights compares whole",
        ),
    ],
)
def test_what_cannot_go_together_is_one_line(form, said):
    with pytest.raises(UserError) as caught:
        make_recipe({"form": form}, "toy.toml")
    assert str(caught.value).startswith(f"toy.toml: {said}")
    assert "\n" not in str(caught.value)
