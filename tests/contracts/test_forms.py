"""The same laws for every form on the shelf, with everything real but the model."""

import errno
import itertools
from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from tests.contracts.kills import assert_a_kill_costs_nothing

from coterie.core.errors import Halted, UserError
from coterie.engines import disk
from coterie.federation.forms.fedavg import FedAvg
from coterie.federation.shelves import AGGREGATORS, FORMS
from coterie.models.peft_files import read_peft
from coterie.wire.meter import BACKHAUL, DIRECT

SETTINGS = [
    ("fedavg", {}),
    ("fedavg", {"keeping": "ditto", "aggregator": "product_svd"}),
    ("fedavg", {"keeping": "finetune"}),
    ("local", {}),
    ("clustered", {"grouping": "oracle"}),
    ("clustered", {"grouping": "wishes", "keeping": "none"}),
    ("clustered", {"grouping": "weights"}),
    ("clustered", {"grouping": {"name": "random", "sizes": [3, 1]}}),
    ("clustered", {"grouping": "single"}),
    ("clustered", {"grouping": "wishes", "keeping": {"name": "stacked", "rank": 1}}),
    ("clustered", {"grouping": "wishes", "keeping": "none", "interaction": "similarity"}),
    ("clustered", {"grouping": "oracle", "keeping": "split"}),
    ("clustered", {"grouping": "oracle", "interaction": "shrink"}),
    ("rooted", {"grouping": "oracle"}),
    ("rooted", {"grouping": "weights", "keeping": "stacked"}),
    ("fedavg", {"keeping": "split"}),
    ("clustered", {"grouping": "wishes", "wish": {"project": 2, "noise": 0.1, "rounding": "int8"}}),
    ("clustered", {"grouping": {"name": "both", "split": "kmeans"}}),
    ("ifca", {"clusters": 2}),
    ("ifca", {"clusters": 2, "aggregator": "product_svd", "keeping": "ditto"}),
    ("fedavg", {"aggregator": "fedex", "keeping": "stacked"}),
    ("fedavg", {"aggregator": "flora"}),
    ("fedavg", {"aggregator": "fed_sb"}),
    ("fedavg", {"aggregator": "fedask", "keeping": "ditto"}),
    ("fedavg", {"aggregator": {"name": "rolora", "server": "fedadam"}, "keeping": "ditto"}),
    ("clustered", {"grouping": "oracle", "aggregator": {"name": "ffa", "server": "fedavgm"}}),
    ("clustered", {"grouping": "oracle", "aggregator": "fedsvd", "interaction": "similarity"}),
    ("ifca", {"clusters": 2, "aggregator": "rolora"}),
    ("hierarchical", {"grouping": "oracle"}),
    ("hierarchical", {"grouping": "wishes", "edge_rounds": 3, "aggregator": "product_svd", "keeping": "ditto"}),
    ("scaffold", {}),
    ("scaffold", {"step": 0.5, "keeping": "split", "fit": {"optimiser": "sgd", "warmup": 0}}),
    ("split_steps", {}),
    ("split_steps", {"cut": 0.3, "server_steps": 4, "aggregator": "product_svd", "keeping": "ditto"}),
    ("split", {"fit": {"steps": 3}}),
    ("split", {"server": "copies", "keeping": "finetune", "fit": {"steps": 2}}),
    ("split", {"shape": "v", "fit": {"steps": 2}}),
    ("sequential", {}),
    ("sequential", {"order": "boustrophedon", "average": True, "step": 0.5, "forgetting": "hop"}),
    ("sequential", {"order": "fixed", "anchor": "round", "fit": {"mu": 0.1}, "keeping": "ditto"}),
]
IDS = ["-".join([form, *map(str, s.values())])[:40] for form, s in SETTINGS]


def test_every_form_on_the_shelf_is_tested_here():
    assert set(FORMS.names()) == {form for form, _ in SETTINGS}


@pytest.mark.parametrize(("form", "settings"), SETTINGS, ids=IDS)
def test_a_run_ends_with_what_everybody_keeps(world, form, settings):
    w = world(form, settings)
    results = w.play()
    assert set(results["clients"]) == set(w.targets)
    assert not results["failures"]
    base = {s["client"]: s["loss"] for s in results["history"] if s["adapter"] == "base"}
    for score in results["final"]:  # a toy's fresh part is never nothing, and a relay's end is the last client's
        if score["adapter"] == "personal" and "stacked" not in str(settings) and form != "sequential":
            assert score["loss"] < base[score["client"]]
    for client in w.targets:
        assert (w.path / "sites" / client / "adapters" / "served" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(("form", "settings"), SETTINGS, ids=IDS)
def test_everything_kept_is_scored_once(world, form, settings):
    """What the last round found for an adapter that is still served stands, and equals what scoring it again finds."""
    w = world(form, settings)
    results = w.play()
    kept = {c: {"served", "personal"} if results["personal"][c] else {"served"} for c in w.targets}
    found = [(s["client"], s["test"], s["adapter"]) for s in results["final"]]
    assert sorted(found) == sorted((c, "own", adapter) for c in kept for adapter in kept[c])
    (told,) = [more["steps"] for event, more in w.events if event == "finishing"]
    assert [more["step"] for event, more in w.events if event == "finishing_step"] == list(told)
    for score in results["final"]:
        if score["adapter"] == "served":
            served = read_peft(w.path / "sites" / score["client"] / "adapters" / "served", "toy")
            target = torch.as_tensor(w.targets[score["client"]])
            assert score["loss"] == pytest.approx(float((target - world.effect(served)).square().mean()), rel=1e-5)


@pytest.mark.parametrize(("form", "settings"), SETTINGS, ids=IDS)
def test_the_same_recipe_gives_the_same_bits(world, form, settings):
    w = world(form, settings)
    w.play()
    other = world.again(w)
    other.play()
    assert w.final() == other.final()


KILLED = [
    i
    for i, (form, s) in enumerate(SETTINGS)
    if i in range(1, 7)
    or form == "rooted"
    or (form, len(s)) in (("ifca", 1), ("sequential", 4), ("split", 1))
    or s.get("keeping") == "split"
    or s.get("aggregator") in ("fedex", "flora", "fedask", "fed_sb")
    or "fedadam" in str(s)
]


@pytest.mark.parametrize(("form", "settings"), [SETTINGS[i] for i in KILLED], ids=[IDS[i] for i in KILLED])
def test_a_kill_at_any_write_costs_nothing(world, form, settings):
    """Every file is written through one rename: die before each of them in turn, and after it."""
    w = world(form, settings, clients=3 if "random" not in str(settings) else 4, rounds=2)
    assert assert_a_kill_costs_nothing(w) > 30


@pytest.mark.parametrize("grouping", ["weights", "both"])
def test_a_kill_while_somebody_has_not_answered_costs_nothing(world, grouping):
    """First answers wait in the checkpoint for those who were not asked yet."""
    w = world("clustered", {"grouping": grouping, "keeping": "none"}, clients=5, rounds=3, share=0.4)
    assert_a_kill_costs_nothing(w, every=5)
    seen = [more["numbers"]["group/unseen"] for event, more in w.events if "group/unseen" in more.get("numbers", {})]
    assert seen[0] > seen[-1]


@pytest.mark.parametrize(("form", "settings"), SETTINGS, ids=IDS)
def test_a_late_reply_leaves_no_trace_in_a_memory(world, form, settings):
    """A client that trained in vain starts the next round from the memory the server knows of."""
    w = world(form, settings, rounds=3)
    late = world.again(w, late=(("a0", 2),))
    late.play()
    assert "a0" in [more["client"] for event, more in late.events if event == "client_failed"]
    versions = sorted(p.name[:10] for p in (late.path / "sites" / "a0" / "memory").iterdir())
    assert versions == ["round-0001", "round-0003"]


def test_a_late_round_of_a_lone_client_is_a_round_that_never_was(world):
    """Local training: with round 2 too late, what is kept is what rounds 1 and 3 make, to the bit."""
    late = world("local", rounds=3, late=(("a0", 2),))
    late.play()
    absent = world("local", rounds=3, absent=(("a0", 2),))
    absent.play()
    kept = "sites/a0/adapters/personal/adapter_model.safetensors"
    assert late.final()["files"][kept] == absent.final()["files"][kept]
    on_time = world("local", rounds=3)
    on_time.play()
    assert late.final()["files"][kept] != on_time.final()["files"][kept]


GIVEN = [
    (form, rule)
    for form in ("fedavg", "clustered", "hierarchical")
    for rule in AGGREGATORS.names()
    if AGGREGATORS[rule].asks != "factor" or "factor" in getattr(FORMS[form], "gives", ())
]


@pytest.mark.parametrize(("form", "rule"), GIVEN)
def test_sealed_is_open_for_linear_rules_and_refused_by_the_others(world, rule, form):
    settings = {"aggregator": rule, **({} if form == "fedavg" else {"grouping": "oracle"})}
    w = world(form, settings)
    sealed = world.again(w, sealed=True)
    if AGGREGATORS[rule].linear:
        w.play()
        sealed.play()
        open_, closed = w.final(), sealed.final()
        numbers = open_["state"]["numbers"]
        if rule == "mean" and form != "hierarchical":
            assert any(key.startswith("drift/relative") for key in numbers)
        open_["state"]["numbers"] = {key: value for key, value in numbers.items() if not key.startswith("drift/")}
        assert open_ == closed  # how far single clients went is theirs in a sealed run
    else:
        with pytest.raises(UserError, match="seals"):
            sealed.play()


def test_halves_of_one_kind_run_as_one_batch(world):
    w = world("fedavg", {"keeping": "ditto"}, clients=5, rounds=2)
    w.play()
    fits = [clients for kind, clients in w.log if kind == "fit"]
    assert fits == [sorted(w.targets)] * 4  # two rounds, each the shared and the personal training


def test_one_cluster_is_federated_averaging_and_singletons_are_local(world):
    """algorithms 16.15."""
    average, single = world("fedavg"), world("clustered", {"grouping": "single", "keeping": "none"})
    average.play()
    single.play()
    assert average.final()["state"]["w"] == single.final()["state"]["clusters"]["cluster-0"]
    alone = world("clustered", {"grouping": {"name": "random", "sizes": [1, 1, 1, 1]}, "keeping": "none"})
    local = world("local")
    alone.play()
    local.play()
    labels = alone.final()["state"]["labels"]
    mine = {c: alone.final()["state"]["clusters"][labels[c]] for c in labels}
    for client in labels:
        kept = local.final()["files"][f"sites/{client}/adapters/personal/adapter_model.safetensors"]
        flat = torch.cat([torch.tensor(v).flatten() for v in kept.values()]).sort().values
        assert torch.equal(flat, torch.tensor(mine[client]).sort().values)


def test_one_client_is_plain_training(world):
    """algorithms 16.5, bit for bit: the average of one is that one."""
    federated, local = world("fedavg", clients=1), world("local", clients=1)
    federated.play()
    local.play()
    kept = local.final()["files"]["sites/a0/adapters/personal/adapter_model.safetensors"]
    served = federated.final()["files"]["sites/a0/adapters/served/adapter_model.safetensors"]
    assert kept == served


def test_ditto_without_pull_is_local_training_beside(world):
    """algorithms 16.13."""
    w = world("fedavg", {"keeping": {"name": "ditto", "strength": 0.0, "steps": 16}}, clients=2)
    w.play()
    files = w.final()["files"]
    assert (
        files["sites/a0/adapters/personal/adapter_model.safetensors"]
        != files["sites/a0/adapters/served/adapter_model.safetensors"]
    )


def test_a_client_without_examples_changes_nothing(world):
    """algorithms 16.10."""
    w = world("fedavg", clients=3)
    w.play()
    with_empty = world("fedavg", clients=3)
    with_empty.targets["z9"], with_empty.sizes = torch.zeros(world.layout.size), {"z9": 0}
    with_empty.tests = ()
    with_empty.play()
    assert with_empty.final()["state"]["w"] == w.final()["state"]["w"]


def test_nobody_answering_stops_the_run_and_wastes_the_bytes(world):
    w = world("fedavg", clients=2, late=(("a0", 1), ("b1", 1)))
    with pytest.raises(UserError, match="fewer than the quorum of 30%"):
        w.play()
    w.late = ()
    w.play()
    assert w.final()["round"] == 2


def test_bytes_are_counted_both_ways_and_by_purpose(world):
    w = world("fedavg", clients=3, rounds=2)
    rows = w.play()["bytes"]
    train = [row for row in rows if row[4] == "train"]
    numbers = 4 * world.layout.size
    assert len(train) == 3 * 2 * 2
    assert all(numbers < row[6] < numbers + 2000 for row in train)
    assert {row[4] for row in rows} == {"train", "evaluate", "keep"}


@pytest.mark.parametrize(("form", "settings"), SETTINGS, ids=IDS)
def test_the_meter_is_the_length_of_what_was_handed_over(world, form, settings):
    """Also no client does anything but while a message to it is open."""
    w = world(form, settings)
    results, visits = world.watched(w)
    hops = iter([more for event, more in w.events if event == "hop"])
    wanted, relayed = Counter(), {}
    for client, header, request, reply in visits:
        if form == "sequential" and header.purpose == "train":
            hop, (last, _) = next(hops), relayed.get(header.round, ("", b""))
            assert (hop["sender"], hop["client"], hop["bytes"]) == (last or "server", client, len(request))
            way = (last, "across", DIRECT) if last else (client, "down", "memory")
            wanted[header.round, *way, "train"] += len(request)
            relayed[header.round] = client, reply
        else:
            wanted[header.round, client, "down", "memory", header.purpose] += len(request)
            wanted[header.round, client, "up", "memory", header.purpose] += len(reply)
    for number, (client, reply) in relayed.items():
        wanted[number, client, "up", "memory", "train"] += len(reply)
    assert {tuple(row[:5]): row[6] for row in results["bytes"] if row[3] != BACKHAUL} == dict(wanted)


def test_a_form_that_reaches_a_client_past_the_cohort_is_caught(world):
    kept = {}

    @dataclass(frozen=True)
    class Sly(FedAvg):
        async def round(self, state, cohort):
            state = await super().round(state, cohort)
            for site in kept.values():  # on the server, long after the reply came
                await site.fit(state.w, self.fit)
            return state

        async def client_update(self, site, w):
            kept[site.client] = site
            return await super().client_update(site, w)

    with pytest.raises(AssertionError, match="a0 does some fit unasked"):
        world.watched(world(Sly()))


def test_a_full_disk_stops_the_run_and_blames_nobody(world, monkeypatch):
    """One line says so; what finished is there, and the run goes on once there is room."""
    w = world("clustered", {"grouping": "oracle"})
    w.play()
    broken, rename, writes = world.again(w), disk.os.replace, itertools.count()

    def full(source, target):
        if next(writes) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(disk.os, "replace", full)
    with pytest.raises(Halted, match="the disk is full"):
        broken.play()
    assert "client_failed" not in [event for event, _ in broken.events]
    monkeypatch.setattr(disk.os, "replace", rename)
    broken.play()
    assert broken.final() == w.final()
