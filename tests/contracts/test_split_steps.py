"""Denoising split between clients and server: who sends what, once, and who trains where."""

import pytest
import torch

from coterie.core.errors import UserError
from coterie.runs.attendance import Change
from coterie.runs.reading import make_recipe


def test_without_the_server_it_is_federated_averaging_below_the_cut(world):
    """The toy knows no levels, so this is all of it, to the bit."""
    split, flat = world("split_steps", {"server_steps": 0}, rounds=3), world("fedavg", rounds=3)
    split.play()
    flat.play()
    assert split.final()["state"]["w"] == flat.final()["state"]["w"]


def test_clients_train_below_the_cut_and_the_server_above(world):
    w = world("split_steps", {"cut": 0.4, "server_steps": 5, "keeping": "ditto", "fit": {"steps": 3}}, 3, rounds=1)
    asked = []

    def noting(kind, works):
        asked.extend((work.client, work.payload[1].levels, work.payload[1].steps) for work in works if kind == "fit")

    world.watched(w, noting)
    shared = [(client, levels, steps) for client, levels, steps in asked if levels != (0.0, 1.0)]
    assert shared == [(client, (0.0, 0.4), 3) for client in sorted(w.targets)] + [("server", (0.4, 1.0), 5)]
    assert {client for client, levels, _ in asked if levels == (0.0, 1.0)} == set(w.targets)  # what is personal


def test_every_picture_is_sent_once_and_never_again(world):
    """Not even when its owner wishes for something else, or comes back."""
    changes = (Change(2, wish={"a0": "purpose"}), Change(3, leave=("a2",)), Change(4, join=("a2",)))
    w = world("split_steps", {}, 4, rounds=5, changes=changes, later={"a0": "other words"})
    results, visits = world.watched(w)
    sent = {}
    for client, header, _, reply in visits:
        if header.half == "SplitSteps.client_bury":
            sent.setdefault(client, []).append((header.round, world.opened(reply)["rows"][0]["target"]))
    assert {client: [number for number, _ in found] for client, found in sent.items()} == {
        "a0": [0], "a2": [0, 4], "b1": [0], "b3": [0],
    }  # fmt: skip
    assert torch.equal(sent["a2"][0][1], sent["a2"][1][1])  # the same noise: no second version
    enrolled = [row for row in results["bytes"] if row[4] == "enrol" and row[2] == "up"]
    assert sum(row[7] for row in enrolled) == 5


def test_who_leaves_takes_its_pictures_along(world):
    w = world("split_steps", {}, 4, rounds=3, changes=(Change(2, leave=("a2",)),))
    w.play()
    assert set(w.final()["state"]["buried"]) == {"a0", "b1", "b3"}


def test_nobody_has_a_picture_for_the_server(world):
    w = world("split_steps", {}, 2, rounds=1, sizes={"a0": 0}, tests=())
    w.play()
    alone = world("split_steps", {}, 2, rounds=1, tests=())
    alone.targets = {"b1": alone.targets["b1"]}
    alone.play()
    assert w.final()["state"]["w"] == alone.final()["state"]["w"]


def test_what_does_not_go_with_it_is_one_line():
    with pytest.raises(UserError, match=r"toy: data.flip: the form split_steps sends one noised version of each"):
        make_recipe({"form": "split_steps", "data": {"flip": True}}, "toy")
    with pytest.raises(UserError, match=r"toy: cohort.sealed: the form split_steps reads what single clients answer"):
        make_recipe({"form": "split_steps", "cohort": {"sealed": True}}, "toy")
    with pytest.raises(UserError, match=r"the form split_steps trains them there: use another keeping"):
        make_recipe({"form": {"name": "split_steps", "keeping": "split"}}, "toy")
