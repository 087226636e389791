"""The relay: what it is equal to, whom it passes over, what goes which way, and what is forgotten."""

import pytest
import torch

from coterie.core.errors import UserError
from coterie.engines.devices import Devices
from coterie.runs.reading import make_recipe
from coterie.wire.meter import DIRECT


def hops(w, number=None):
    return [(m["sender"], m["client"], m["direct"]) for e, m in w.events if e == "hop" and number in (None, m["round"])]


def told(w):
    return [more["numbers"] for event, more in w.events if event == "round_done" and more["round"]]


def test_a_relay_of_one_client_is_local_training(world):
    """algorithms 16.7, to the bit."""
    relay, local = world("sequential", clients=1), world("local", clients=1)
    relay.play()
    local.play()
    kept = local.final()["files"]["sites/a0/adapters/personal/adapter_model.safetensors"]
    assert relay.final()["files"]["sites/a0/adapters/served/adapter_model.safetensors"] == kept


@pytest.mark.parametrize("average", [False, True])
def test_without_steps_a_relay_changes_nothing(world, average):
    w = world("sequential", {"fit": {"steps": 0}, "average": average}, 5, rounds=3)
    w.play()
    assert w.final()["state"]["v"] == world.layout.start(1).row.tolist()


@pytest.mark.parametrize("average", [False, True])
def test_with_one_clients_data_only_a_relay_is_that_clients_training(world, average):
    w = world("sequential", {"average": average}, 4, sizes={"a0": 0, "a2": 0, "b3": 0}, tests=())
    w.play()
    alone = world("fedavg", clients=4)
    alone.targets = {"b1": alone.targets["b1"]}
    alone.play()
    assert w.final()["state"]["v"] == alone.final()["state"]["w"]


def test_a_round_is_one_message_down_one_up_and_the_rest_across(world):
    w = world("sequential", clients=5)
    results = w.play()
    count = dict.fromkeys(("down", "up", "across"), 0)
    for row in results["bytes"]:
        if row[4] == "train" and row[0] == 1:
            assert (row[3] == DIRECT) == (row[2] == "across")
            count[row[2]] += row[7]
    assert count == {"down": 1, "up": 1, "across": 4}


def test_a_hop_out_of_reach_is_two_transfers_of_the_ordinary_link(world):
    w = world("sequential", {"order": "fixed"}, 4, rounds=1, devices=Devices(lost=1.0))
    results = w.play()
    assert hops(w) == [("server", "a0", False), ("a0", "a2", False), ("a2", "b1", False), ("b1", "b3", False)]
    rows = [row for row in results["bytes"] if row[4] == "train"]
    assert {row[3] for row in rows} == {"memory"}
    assert {way: sum(row[7] for row in rows if row[2] == way) for way in ("up", "down")} == {"up": 4, "down": 4}
    direct = world.again(w, devices=Devices())
    across = direct.play()
    assert direct.final() == w.final()  # which way it went changes no number
    ups = {row[1]: row[6] for row in rows if row[2] == "up"}
    for row in across["bytes"]:
        if row[2] == "across":
            assert row[6] == ups[row[1]]


def test_who_is_near_enough_and_lucky_hands_over_directly(world):
    near = Devices(area=100, reach=60, lost=0.2)
    w = world("sequential", {}, 8, rounds=3, devices=near)
    w.play()
    places, can = near.places(w.targets, 0), near.reaches(w.targets, 0)
    found = {True: 0, False: 0}
    for more in (m for e, m in w.events if e == "hop" and m["sender"] != "server"):
        (x, y), (u, v) = places[more["sender"]], places[more["client"]]
        far = ((x - u) ** 2 + (y - v) ** 2) ** 0.5 > 60
        assert not (far and more["direct"])
        assert more["direct"] == can(more["round"], more["client"], more["sender"])  # both ways alike
        found[more["direct"]] += 1
    assert min(found.values()) > 2
    with pytest.raises(UserError, match=r"devices.reach: 60 metres say nothing where devices.area is 0; set that too"):
        Devices(reach=60).reaches(["a"], 0)


def test_who_does_not_answer_is_passed_over(world):
    w = world("sequential", {"order": "fixed"}, 4, rounds=1, absent=(("a0", 1), ("b1", 1)))
    w.play()
    assert hops(w) == [("server", "a0", False), ("server", "a2", False), ("a2", "b1", True), ("a2", "b3", True)]
    only = world.again(w, absent=())
    only.form = type(w.form)(order=w.form.order)
    only.targets = {c: t for c, t in w.targets.items() if c in ("a2", "b3")}
    only.play()
    assert only.final()["state"]["v"] == w.final()["state"]["v"]


def test_a_relay_in_which_too_few_answer_does_not_count(world):
    w = world("sequential", {}, 4, absent=(("a0", 1), ("a2", 1), ("b1", 1)))
    with pytest.raises(UserError, match="1 of 4 clients answered, fewer than the quorum of 30%"):
        w.play()
    w.absent = ()
    w.play()
    assert w.final()["round"] == 2


def test_the_last_client_is_remembered_best_and_forgetting_says_so(world):
    w = world("sequential", {"order": "fixed", "forgetting": "hop"}, 4, rounds=1)
    w.play()
    (numbers,) = told(w)
    assert {key for key in numbers if "hop" in key} == {f"forgetting/hop-{k:02d}" for k in (2, 3, 4)}
    assert numbers["forgetting/b3"] == 0
    v, after = w.final()["state"]["v"], numbers["forgetting/a0"]
    assert after > 1  # its target is far from the last one's
    w.form = type(w.form)(order=w.form.order, forgetting="never")
    silent = world.again(w)
    results = silent.play()
    assert silent.final()["state"]["v"] == v  # measuring changes nothing
    assert not any(key.startswith("forgetting") for key in told(silent)[0])
    asked = sum(row[7] for row in results["bytes"] if row[2] == "down" and row[4] == "evaluate" and row[0] == 1)
    assert asked == 4


def test_the_mean_of_a_round_is_the_mean_of_its_visits(world):
    """Against each visit's adapter, which runs of one round over the first few clients give."""
    ends = []
    for count in (1, 2, 3, 4):
        w = world("sequential", {"order": "fixed"}, 4, rounds=1)
        w.targets = dict(sorted(w.targets.items())[:count])
        w.play()
        ends.append(torch.tensor(w.final()["state"]["v"], dtype=torch.float64))
    averaged = world("sequential", {"order": "fixed", "average": True}, 4, rounds=1)
    results = averaged.play()
    mean = torch.tensor(averaged.final()["state"]["v"], dtype=torch.float64)
    assert torch.allclose(mean, torch.stack(ends).mean(0), atol=1e-5)
    across = [row[6] for row in results["bytes"] if row[2] == "across"]
    assert all(size > 2 * 4 * world.layout.size for size in across)  # two adapters travel
    half = world("sequential", {"order": "fixed", "step": 0.5}, 4, rounds=1)
    half.play()
    between = (world.layout.start(1).row.double() + ends[-1]) / 2
    assert torch.allclose(torch.tensor(half.final()["state"]["v"], dtype=torch.float64), between, atol=1e-6)


def test_a_pull_holds_the_relay_back(world):
    """Toward the round's begin it holds more than toward what arrived, and costs the bytes of one more adapter."""
    moved, sizes = {}, {}
    for name, settings in {
        "free": {}, "arrived": {"fit": {"mu": 1.0}}, "round": {"fit": {"mu": 1.0}, "anchor": "round"},
    }.items():  # fmt: skip
        w = world("sequential", {"order": "fixed", **settings}, 4, rounds=1)
        w.targets = dict.fromkeys(w.targets, torch.full((world.layout.size,), 5.0))
        results = w.play()
        moved[name] = float((torch.tensor(w.final()["state"]["v"]) - world.layout.start(1).row).norm())
        sizes[name] = max(row[6] for row in results["bytes"] if row[2] == "across")
    assert moved["round"] < moved["arrived"] < moved["free"]
    assert sizes["round"] - sizes["arrived"] > 4 * world.layout.size
    assert abs(sizes["arrived"] - sizes["free"]) < 100


def test_orders_by_distance_need_places(world):
    for order in ("nearest", "shortest"):
        with pytest.raises(UserError, match=f"form.order: {order} asks how far .* set devices.area, or take random"):
            world("sequential", {"order": order}).play()
        w = world("sequential", {"order": order}, devices=Devices(area=100))
        w.play()
        assert len(hops(w, 1)) == 4


def test_a_relay_over_somebody_who_is_not_there_is_one_line(world):
    world("sequential", {"order": {"name": "fixed", "clients": ["b9", "a0", "b1", "a2", "b3"]}}, rounds=1).play()
    with pytest.raises(UserError, match=r"form.order.clients: b3 is left out"):
        world("sequential", {"order": {"name": "fixed", "clients": ["a0", "b1", "a2"]}}).play()
    with pytest.raises(UserError, match=r"form.order.clients: a0 is there twice"):
        world("sequential", {"order": {"name": "fixed", "clients": ["a0", "a0"]}}, 1).play()

    class Astray:
        def path(self, clients, round, costs, seed):
            return [*clients, "zoe"] if round else clients

    w = world("sequential")
    object.__setattr__(w.form, "order", Astray())
    with pytest.raises(UserError, match=r"the relay goes over 'zoe', who is not in round 2; there are: a0"):
        w.play()


def test_a_share_of_the_clients_is_relayed(world):
    w = world("sequential", {"order": {"name": "fixed", "clients": ["b3", "a2", "b1", "a0"]}}, share=0.5, rounds=4)
    w.play()
    for number in range(1, 5):
        visited = [client for _, client, _ in hops(w, number)]
        assert len(visited) == 2
        assert visited == sorted(visited, key=["b3", "a2", "b1", "a0"].index)


def test_what_a_relay_cannot_be_is_said_before_it_runs():
    with pytest.raises(UserError, match=r"toy: cohort.sealed: the form sequential reads what single clients answer"):
        make_recipe({"form": "sequential", "cohort": {"sealed": True}}, "toy")
    with pytest.raises(UserError, match=r"toy: devices.ranks: the form sequential needs method.rank, 8, for"):
        make_recipe({"form": "sequential", "devices": {"ranks": [4, 8]}}, "toy")


@pytest.mark.parametrize("uplink", [["delta", "int8"], [{"name": "int4", "feedback": True}]])
def test_what_is_handed_on_is_written_by_the_codec_alone(uplink):
    """The next device was never sent what a change would be taken against."""
    with pytest.raises(UserError, match='who cannot know what it was a change of; take codec = "int8" without uplink'):
        make_recipe({"form": "sequential", "uplink": uplink}, "test")
    for codec in ("int4", "int8", "cast"):
        make_recipe({"form": "sequential", "codec": codec}, "test")
