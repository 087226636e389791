"""Unequal clients: who has a smaller rank, takes fewer steps, is too late or away, and what the server makes of it."""

import pytest
import torch

from coterie.core.errors import UserError
from coterie.engines.devices import Away, Device, Devices, Straggler
from coterie.models.peft_files import read_peft
from coterie.runs.reading import make_recipe


def failed(w):
    return [(more["round"], more["client"], more["kind"]) for event, more in w.events if event == "client_failed"]


def test_a_list_is_repeated_in_order_of_ids_and_a_table_names_clients():
    dealt = Devices(ranks=(4, 8), steps={"b": 0.5}).of(["c", "a", "b"], 0)
    assert {c: (d.rank, d.share) for c, d in dealt.items()} == {"a": (4, 1.0), "b": (8, 0.5), "c": (4, 1.0)}
    with pytest.raises(UserError, match=r"devices.ranks: there is no client called 'bb'; did you mean 'b'"):
        Devices(ranks={"bb": 4}).of(["a", "b"], 0)


def test_paces_are_log_normal_around_a_median_client_and_nobody_moves_anothers():
    clients = [f"c{i:04d}" for i in range(2001)]
    paces = {c: d.pace for c, d in Devices(spread=0.7).of(clients, 3).items()}
    logs = torch.tensor(list(paces.values()), dtype=torch.float64).log()
    assert abs(float(logs.median())) < 0.05
    assert float(logs.std()) == pytest.approx(0.7, rel=0.05)
    assert Devices(spread=0.7).of(clients[:5], 3)["c0003"].pace == paces["c0003"]
    assert {d.pace for d in Devices().of(clients, 3).values()} == {1.0}


def test_a_budget_is_a_share_of_the_steps_and_what_the_deadline_leaves_of_it():
    assert [Device(share=share).steps(16) for share in (1.0, 0.5, 0.01)] == [16, 8, 1]
    assert Device(pace=2.0, deadline=1.0).steps(16) == 8
    assert Device(pace=0.5, deadline=1.0).steps(16) == 16
    assert Device(share=0.25, pace=2.0, deadline=1.0, late="dropped").steps(16) == 4
    assert Device(share=0.5).steps(0) == 0
    with pytest.raises(Straggler, match=r"it needs 2.00 times a median client's round, allowed 1"):
        Device(pace=2.0, deadline=1.0, late="dropped").steps(16)
    assert Device(pace=20.0, deadline=1.0).steps(16) == 1


def test_who_is_away_is_drawn_for_each_client_and_round_alone():
    device = Device(absence=0.3)
    drawn = [device.is_away(0, round, "ada") for round in range(2000)]
    assert sum(drawn) / 2000 == pytest.approx(0.3, abs=0.04)
    assert drawn != [device.is_away(0, round, "bo") for round in range(2000)]
    assert not any(Device().is_away(0, round, "ada") for round in range(50))


def test_absences_are_typed_failures_and_the_others_go_on(world):
    w = world("fedavg", {"keeping": "ditto"}, 6, rounds=4, devices=Devices(absence=0.3))
    results = w.play()
    away = failed(w)
    assert away
    assert {kind for *_, kind in away} == {Away.kind}
    told = {more["round"]: more["failed"] for event, more in w.events if event == "round_done"}
    assert sum(counted.get("away", 0) for counted in told.values()) == len(away)
    assert not results["failures"]  # at the end everybody is there
    other = world.again(w)
    other.play()
    assert failed(other) == away
    assert other.final() == w.final()


def test_nobody_there_is_no_quorum(world):
    w = world("fedavg", {}, 3, devices=Devices(absence=1.0))
    with pytest.raises(UserError, match="fewer than the quorum of 30%; the first failure was a0: it is away"):
        w.play()


def test_stragglers_are_dropped_or_take_what_they_can(world):
    slow = Devices(spread=1.0, deadline=1.0, late="dropped")
    w = world("fedavg", {"fit": {"steps": 8}}, 6, devices=slow)
    w.play()
    late = {client for *_, client, kind in failed(w) if kind == Straggler.kind}
    assert late == {c for c, d in slow.of(list(w.targets), 0).items() if d.pace > 1}
    assert late
    fewer = world.again(w, devices=Devices(spread=1.0, deadline=1.0))
    fewer.play()
    assert not failed(fewer)
    assert fewer.final()["state"]["w"] != w.final()["state"]["w"]


def test_half_the_steps_are_the_training_of_half_the_steps(world):
    """A share of one half is the training of half the steps."""
    w = world("fedavg", {"fit": {"steps": 8}}, 2, devices=Devices(steps=(0.5,)))
    half = world("fedavg", {"fit": {"steps": 4}}, 2)
    w.play()
    half.play()
    assert w.final()["state"]["w"] == half.final()["state"]["w"]


@pytest.mark.parametrize("rule", ["product_svd", "rank_bands", "ties"])
@pytest.mark.parametrize("form", [("fedavg", {}), ("clustered", {"grouping": "oracle"}), ("ifca", {"clusters": 2})])
def test_clients_train_and_keep_adapters_of_their_own_rank(world, form, rule):
    name, settings = form
    w = world(name, {**settings, "aggregator": rule, "keeping": "ditto"}, 4, devices=Devices(ranks=(1, 2)))
    results = w.play()
    ranks = {}
    for client in w.targets:
        for kind in ("served", "personal"):
            kept = read_peft(w.path / "sites" / client / "adapters" / kind, "toy")
            ranks.setdefault(client, set()).add(kept.layout.parts[0].rank)
    assert ranks == dict(zip(sorted(w.targets), ({1}, {2}, {1}, {2}), strict=True))
    published = w.loop().folder.server / "adapters"
    assert {read_peft(p, "toy").layout.parts[0].rank for p in published.iterdir()} == {2}
    up = {row[1]: row[6] for row in results["bytes"] if row[2:5] == ["up", "memory", "train"]}
    small, large = sorted(w.targets)[0], sorted(w.targets)[1]
    assert up[large] - up[small] > 100


def test_one_small_rank_for_all_is_averaged_by_mean(world):
    w = world("fedavg", {}, 2, devices=Devices(ranks=(1,)))
    w.play()
    assert read_peft(w.path / "server" / "adapters" / "global", "toy").layout.parts[0].rank == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"devices": {"ranks": [4, 8]}},
            "devices.ranks: form.aggregator mean averages adapters of one rank only",
        ),
        ({"devices": {"ranks": {"ada": 4}}}, "devices.ranks: form.aggregator mean averages adapters of one rank only"),
        ({"devices": {"ranks": [16]}}, "devices.ranks: 16 is more than method.rank, 8; wanted at most that"),
        ({"devices": {"ranks": "four"}}, "devices.ranks: wanted a list of whole numbers from 1, repeated over"),
        ({"devices": {"steps": [0.5, 2]}}, "devices.steps: wanted a list of numbers above 0 and up to 1, repeated"),
        (
            {"form": {"name": "rooted", "aggregator": "rank_bands"}, "devices": {"ranks": [4, 8]}},
            "devices.ranks: the form rooted serves two adapters side by side, which are not cut to smaller ranks",
        ),
        ({"devices": {"abscence": 0.1}}, "devices.abscence: unknown key; did you mean 'absence'?"),
        ({"devices": {"absence": 2}}, "devices.absence: input should be less than or equal to 1"),
        ({"form": {"name": "ifca"}, "cohort": {"sealed": True}}, "cohort.sealed: the form ifca reads what single"),
    ],
)
def test_what_cannot_be_is_one_line(changes, said):
    with pytest.raises(UserError) as caught:
        make_recipe(changes, "toy.toml")
    assert str(caught.value).startswith(f"toy.toml: {said}")
    assert "\n" not in str(caught.value)


def test_the_recipe_goes_there_and_back():
    from coterie.runs.plain import as_plain

    given = {"ranks": {"ada": 4}, "steps": [1, 0.5], "spread": 0.5, "deadline": 1.0, "late": "dropped", "absence": 0.1}
    form = {"name": "fedavg", "aggregator": "rank_bands"}
    recipe = make_recipe({"devices": given, "form": form}, "toy")
    assert make_recipe(as_plain(recipe), "toy") == recipe


@pytest.mark.parametrize("form", [("fedavg", {}), ("clustered", {"grouping": "oracle"}), ("ifca", {"clusters": 2})])
def test_how_many_are_asked_at_once_changes_no_bit(world, form):
    w = world(*form, clients=5)
    small = world.again(w, wave=2)
    assert w.play()["bytes"] == small.play()["bytes"]
    assert w.final() == small.final()


def test_one_who_overstates_moves_the_mean_so_many_times_as_far(world):
    moved = {}
    for times in (1.0, 10.0, -1.0):
        path = (w := world("fedavg", {}, 2, rounds=1, devices=Devices(overstates={"a0": times}))).path
        w.play()
        moved[times] = read_peft(path / "server" / "adapters" / "global", "toy").row
    alone = (moved[10.0] - moved[1.0]) / 9  # what a0 adds to the mean when it is honest
    assert float(alone.norm()) > 0.01
    assert torch.allclose(moved[-1.0], moved[1.0] - 2 * alone, atol=1e-4)
