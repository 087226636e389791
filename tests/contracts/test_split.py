"""A model in two places: which messages there are, who stops answering, and what it equals."""

from dataclasses import replace

import pytest
import torch

from coterie.core.errors import UserError
from coterie.engines.courier import ClientFailed
from coterie.engines.devices import Devices
from coterie.engines.trampoline import run
from coterie.runs.reading import make_recipe
from coterie.wire.envelope import unpack


@pytest.mark.parametrize(("shape", "each"), [("u", 4), ("v", 2)])
def test_a_step_is_four_transfers_or_two(world, shape, each):
    """The adapter's way down shares a message with nothing, its way up the last gradient's answer."""
    w = world("split", {"shape": shape, "fit": {"steps": 5}}, 3, rounds=1)
    rows = w.play()["bytes"]
    train = [row for row in rows if row[4] == "train"]
    assert {(row[1], row[2]): row[7] for row in train} == {
        (client, way): 1 + 5 * each // 2 for client in w.targets for way in ("up", "down")
    }


def halves(world, w):
    _, visits = world.watched(w)
    return [(client, header.half.partition(".")[2]) for client, header, *_ in visits if header.purpose == "train"]


def test_the_servers_part_goes_through_clients_in_turn(world):
    """A fresh order in each round; who is asked for the loss is done with before the next one is."""
    w = world("split", {"fit": {"steps": 2}}, 4, rounds=3)
    tails = [client for client, half in halves(world, w) if half == "client_tail"]
    orders = [tails[begin : begin + 4] for begin in range(0, len(tails), 4)]
    assert all(sorted(order) == sorted(w.targets) for order in orders)
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1


def test_one_client_in_turn_is_a_copy(world):
    """algorithms 16.5: with one client both ways of the server's part are plain training."""
    one = world("split", {"fit": {"steps": 3}}, 1)
    other = world("split", {"fit": {"steps": 3}, "server": "copies"}, 1)
    one.play()
    other.play()
    assert one.final()["state"]["w"] == other.final()["state"]["w"]


def test_copies_are_averaged_by_examples(world):
    w = world("split", {"server": "copies", "shape": "v", "fit": {"steps": 1, "rate": 1.0}}, 2, rounds=1)
    w.sizes = {"a0": 6, "b1": 2}
    w.play()
    wanted = (6 * w.targets["a0"] + 2 * w.targets["b1"]) / 8  # a full step ends at the target, on both sides
    assert torch.allclose(torch.tensor(w.final()["state"]["w"]), wanted, atol=1e-5)


def test_who_takes_fewer_steps_waits_for_the_others(world):
    w = world("split", {"fit": {"steps": 4}}, 2, rounds=1, devices=Devices(steps=(1.0, 0.5)))
    asked = halves(world, w)
    assert sum(pair == ("a0", "client_tail") for pair in asked) == 4
    assert sum(pair == ("b1", "client_tail") for pair in asked) == 2
    assert [half for client, half in asked if client == "b1"][-1] == "client_end"


def test_a_client_without_examples_changes_nothing(world):
    """algorithms 16.10."""
    for server in ("in_turn", "copies"):
        settings = {"server": server, "fit": {"steps": 2}}
        w = world("split", settings, 3, tests=())
        w.play()
        with_empty = world("split", settings, 3, tests=())
        with_empty.targets["z9"], with_empty.sizes = torch.zeros(world.layout.size), {"z9": 0}
        with_empty.play()
        one, other = (torch.tensor(x.final()["state"]["w"]) for x in (w, with_empty))
        if server == "copies":
            assert torch.equal(one, other)
        part = world.layout.parts[0].size
        assert torch.equal(one[:part], other[:part])


class Dropping:
    """A courier that loses a client at one of its messages in one attempt of a round, and for the rest of it."""

    def __init__(self, courier, client, message, opened):
        self.courier, self.client, self.message, self.opened = courier, client, message, opened
        self.link, self.seen = courier.link, 0

    async def visit(self, client, request):
        if client == self.client and self.opened(request).purpose == "train":
            self.seen += 1
            if self.seen > self.message:
                raise ClientFailed("switched off")
        return await self.courier.visit(client, request)


@pytest.mark.parametrize("message", [1, 2, 3, 6])
def test_who_stops_answering_in_mid_round_is_out_and_the_others_go_on(world, message):
    w = world("split", {"fit": {"steps": 3}}, 3, rounds=1)
    loop = w.loop()
    portions = loop.terms.layouts
    courier = Dropping(loop.terms.courier, "a0", message, lambda blob: unpack(blob, portions)[0])
    loop.terms = replace(loop.terms, courier=courier)
    results = run(loop.play(), world.work)
    assert results["clients"]
    failed = [more["client"] for event, more in w.events if event == "client_failed"]
    assert set(failed) == {"a0"}
    assert w.final()["round"] == 1


def test_when_too_few_are_left_at_the_end_the_round_does_not_count(world):
    """The quorum is of those who were asked at the beginning, though fewer are asked at the end."""
    w = world("split", {"fit": {"steps": 3}}, 2, rounds=1)
    loop = w.loop()
    loop.terms = replace(loop.terms, quorum=0.8)
    layouts = loop.terms.layouts
    loop.terms = replace(
        loop.terms, courier=Dropping(loop.terms.courier, "a0", 2, lambda blob: unpack(blob, layouts)[0])
    )
    with pytest.raises(UserError, match="1 of 2 clients answered, fewer than the quorum of 80%"):
        run(loop.play(), world.work)


def test_what_does_not_go_with_it_is_one_line():
    with pytest.raises(
        UserError, match=r"^toy: form.shape: v shows the server .* x = \(x_t - s_t eps\) / a_t; take .* split_steps$"
    ):
        make_recipe({"form": {"name": "split", "shape": "v"}}, "toy")
    for keeping in ("ditto", "stacked", "split"):
        with pytest.raises(
            UserError, match=rf"^toy: form.keeping {keeping} trains the whole model .*; take finetune or none$"
        ):
            make_recipe({"form": {"name": "split", "keeping": keeping}}, "toy")
    make_recipe({"form": {"name": "split", "keeping": "finetune"}}, "toy")
    with pytest.raises(UserError, match=r"^toy: cohort.sealed: the form split reads what single clients answer"):
        make_recipe({"form": "split", "cohort": {"sealed": True}}, "toy")
    with pytest.raises(UserError, match=r"^toy: devices.ranks: the form split needs method.rank, 8, for everybody"):
        make_recipe({"form": "split", "devices": {"ranks": [4]}}, "toy")
    with pytest.raises(UserError, match=r"^toy: uplink: in the form split an adapter goes back many messages after"):
        make_recipe({"form": "split", "uplink": ["delta", "int8"]}, "toy")
    with pytest.raises(UserError, match=r"^toy: form.cut: .*greater than or equal to 1"):
        make_recipe({"form": {"name": "split", "cut": 0}}, "toy")
