"""Who is asked, who is waited for, and rounds that come to nothing (algorithms 9, over-selection with a deadline)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.errors import UserError
from coterie.engines.devices import Device, Devices
from coterie.federation.sampling import first_to_answer, invite
from coterie.runs.reading import make_recipe

NAMES = [f"c{i:02d}" for i in range(20)]


@given(st.integers(1, 20), st.floats(0.05, 1), st.floats(0, 2), st.integers(0, 50))
def test_more_are_asked_than_are_enough_and_the_first_of_them_are_those_without(count, share, over, seed):
    clients = NAMES[:count]
    strata = {client: "ab"[i % 2] for i, client in enumerate(clients)}
    plain, more = (invite(clients, share, x, strata, seed, 3) for x in (0.0, over))
    assert not plain.enough
    assert set(plain.clients) <= set(more.clients)
    for name in set(strata.values()):
        members = [c for c in clients if strata[c] == name]
        needed = sum(strata[c] == name for c in plain.clients)
        asked = sum(strata[c] == name for c in more.clients)
        assert needed <= asked <= len(members)
        assert more.enough.get(name, asked) == needed


@given(st.sets(st.sampled_from(NAMES), min_size=1), st.integers(1, 8), st.integers(0, 30))
def test_the_fastest_count_in_whatever_order_they_came(answered, enough, seed):
    times = {client: 1.0 + i % 5 for i, client in enumerate(NAMES)}
    strata = dict.fromkeys(NAMES, "")
    got = first_to_answer(sorted(answered), {"": enough}, strata, times, seed, 2)
    assert got == first_to_answer(sorted(answered)[::-1], {"": enough}, strata, times, seed, 2)
    assert len(got) == min(enough, len(answered))
    assert max(times[c] for c in got) <= min((times[c] for c in answered - set(got)), default=9)
    assert first_to_answer(sorted(answered), {}, strata, times, seed, 2) == tuple(sorted(answered))


def test_who_is_equally_fast_comes_in_another_order_each_round():
    rounds = {first_to_answer(NAMES, {"": 3}, {}, {}, 0, number) for number in range(20)}
    assert len(rounds) > 15


def test_time_is_what_a_machine_takes_for_its_steps():
    assert Device(pace=2.0).time(16) == 2.0
    assert Device(pace=2.0, share=0.5).time(16) == 1.0
    assert Device(pace=2.0, deadline=1.0).time(16) == 1.0
    assert Device(pace=2.0, deadline=1.0, late="dropped").time(16) == float("inf")
    assert Device().time(0) == 0.0


def surplus(w):
    return {(m["round"], m["client"]) for e, m in w.events if e == "client_failed" and m["kind"] == "surplus"}


@pytest.mark.parametrize("rule", ["mean", "product_svd"])
def test_only_the_first_count_and_what_the_others_sent_is_in_the_books(world, rule):
    devices = Devices(spread=1.0)
    w = world("fedavg", {"aggregator": rule}, 8, rounds=3, share=0.5, over=1.0, devices=devices)
    rows = w.play()["bytes"]
    paces = {c: d.pace for c, d in devices.of(list(w.targets), 0).items()}
    slow = sorted(paces, key=paces.__getitem__)[4:]
    assert surplus(w) == {(number, client) for number in (1, 2, 3) for client in slow}
    up = {(row[0], row[1]) for row in rows if row[2] == "up" and row[4] == "train"}
    assert up == {(number, client) for number in (1, 2, 3) for client in paces}
    quick = world("fedavg", {"aggregator": rule}, 8, rounds=3, devices=devices)
    quick.targets = {client: target for client, target in quick.targets.items() if client not in slow}
    quick.play()
    assert torch.equal(*(torch.tensor(one.final()["state"]["w"]) for one in (w, quick)))


def test_surplus_answers_leave_no_trace_in_memories_and_a_run_repeats(world):
    w = world("clustered", {"grouping": "oracle", "keeping": "ditto"}, 8, rounds=3, share=0.5, over=0.5,
              devices=Devices(spread=1.0))  # fmt: skip
    w.play()
    accepted = set(w.loop().folder.load(w.loop().form, w.loop().terms.header, ())[1].accepted)
    always = {client for client in w.targets if all((n, client) in surplus(w) for n in (1, 2, 3))}
    assert surplus(w)
    assert not always & accepted
    other = world.again(w)
    other.play()
    assert other.final() == w.final()


def test_the_quorum_is_of_those_that_are_enough(world):
    w = world(
        "fedavg", {}, 8, rounds=1, share=0.5, over=1.0, absent=[(c, 1) for c in ("a0", "b1", "a2", "b3", "a4", "b5")]
    )
    w.play()  # two of four needed, although eight were asked
    w = world.again(w, absent=[(c, 1) for c in w.targets if c != "a0"])
    with pytest.raises(UserError, match="1 of 4 clients answered, fewer than the quorum of 30%"):
        w.play()


def test_a_round_below_the_quorum_can_be_void(world):
    """Nothing changes, its bytes are wasted, and the next round goes on."""
    gone = [(client, 2) for client in ("a0", "b1", "a2", "b3")]
    w = world("fedavg", {"keeping": "ditto"}, 4, rounds=3, absent=gone, below_quorum="skip")
    rows = w.play()["bytes"]
    numbers = {m["round"]: m["numbers"] for e, m in w.events if e == "round_done"}
    assert numbers[2] == {"round/void": 1.0}
    assert "round/void" not in numbers[3]
    assert [m["round"] for e, m in w.events if e == "round_void"] == [2]
    assert all(row[5] for row in rows if row[0] == 2 and row[4] == "train")
    score = {m["round"]: m["loss"] for e, m in w.events if e == "round_done"}
    assert score[1] == score[2] != score[3]
    stops = world.again(w, below_quorum="stop")
    with pytest.raises(UserError, match="round 2: 0 of 4 clients answered"):
        stops.play()


@pytest.mark.parametrize(
    ("cohort", "said"),
    [
        ({"over": -1}, "cohort.over: input should be greater than or equal to 0"),
        ({"below_quorum": "wait"}, "cohort.below_quorum: input should be 'stop' or 'skip'"),
    ],
)
def test_what_cannot_be_is_one_line(cohort, said):
    with pytest.raises(UserError) as caught:
        make_recipe({"cohort": cohort}, "toy.toml")
    assert str(caught.value).startswith(f"toy.toml: {said}")
