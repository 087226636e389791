"""Edges and a cloud: what it is equal to, what goes over which link, and edges that cannot be."""

import pytest
import torch

from coterie.core.errors import UserError
from coterie.runs.reading import make_recipe
from coterie.wire.meter import BACKHAUL

NORTH_SOUTH = {"name": "given", "groups": {"north": ["a0", "b1"], "south": ["a2", "b3"]}}
UNEQUAL = {"name": "given", "groups": {"north": ["a0"], "south": ["a2", "b1", "b3"]}}


def numbers(w, key="w"):
    return torch.tensor(w.final()["state"][key], dtype=torch.float64)


@pytest.mark.parametrize("grouping", [NORTH_SOUTH, UNEQUAL, "wishes"], ids=["equal", "unequal", "wishes"])
def test_one_edge_round_is_federated_averaging(world, grouping):
    """algorithms 16.14: the mean of means weighted by examples is the mean of all, up to the edges' float32."""
    sizes = {"a0": 3, "b3": 5}
    edges = world("hierarchical", {"grouping": grouping, "edge_rounds": 1}, rounds=3, sizes=sizes)
    flat = world("fedavg", rounds=3, sizes=sizes)
    edges.play()
    flat.play()
    assert torch.allclose(numbers(edges), numbers(flat), atol=2e-6)


def test_one_edge_with_one_round_is_federated_averaging_to_the_bit(world):
    edge, flat = world("hierarchical", {"grouping": "single", "edge_rounds": 1}, rounds=3), world("fedavg", rounds=3)
    edge.play()
    flat.play()
    assert edge.final()["state"]["w"] == flat.final()["state"]["w"]


def test_one_client_is_plain_training(world):
    edge, local = (
        world("hierarchical", {"grouping": "single", "edge_rounds": 1}, clients=1),
        world("local", clients=1),
    )
    edge.play()
    local.play()
    kept = local.final()["files"]["sites/a0/adapters/personal/adapter_model.safetensors"]
    assert edge.final()["files"]["sites/a0/adapters/served/adapter_model.safetensors"] == kept


def test_clients_talk_to_edges_and_edges_to_the_cloud(world):
    """2 kappa_2 transfers for a client and 2 for an edge, in a round of the cloud."""
    w = world("hierarchical", {"grouping": UNEQUAL, "edge_rounds": 3}, rounds=1)
    rows = [row for row in w.play()["bytes"] if row[4] == "train"]
    of_edges = {(row[1], row[2]): row[7] for row in rows if row[3] == BACKHAUL}
    assert of_edges == {(e, way): 1 for e in ("edge-north", "edge-south") for way in ("up", "down")}
    of_clients = {(row[1], row[2]): row[7] for row in rows if row[3] != BACKHAUL}
    assert of_clients == {(c, way): 3 for c in w.targets for way in ("up", "down")}
    size = 4 * world.layout.size
    assert all(size < row[6] < size + 2000 for row in rows if row[3] == BACKHAUL)


def test_edges_go_their_own_ways_until_the_cloud_averages(world):
    """With one client at an edge, its edge rounds are that client's training, one after the other."""
    w = world("hierarchical", {"grouping": "oracle", "edge_rounds": 2}, clients=2, rounds=1)
    w.play()
    ends = []
    for client in ("a0", "b1"):
        alone = world("hierarchical", {"grouping": "single", "edge_rounds": 2}, clients=2, rounds=1)
        alone.targets = {client: alone.targets[client]}
        alone.play()
        ends.append(numbers(alone))
    assert torch.allclose(numbers(w), torch.stack(ends).mean(0), atol=1e-6)


def test_an_edge_whose_clients_do_not_answer_does_not_count(world):
    w = world("hierarchical", {"grouping": UNEQUAL, "edge_rounds": 1}, rounds=1, absent=(("a0", 1),))
    results = w.play()
    flat = world("fedavg", rounds=1, absent=(("a0", 1),))
    flat.play()
    assert torch.allclose(numbers(w), numbers(flat), atol=1e-6)
    ups = {row[1] for row in results["bytes"] if row[3] == BACKHAUL and row[2] == "up"}
    assert ups == {"edge-south"}


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"north": ["a0", "b1", "a2", "b3"], "south": []}, "groups: south is empty; give it a client or leave it out"),
        ({"north": ["a0", "b1", "a2", "b3"], "south": ["zoe"]}, "groups: nobody of south is here, and an edge needs a"),
        ({"north": ["a0", "b1"], "south": ["a2", "c3"]}, "groups: b3 is in none of them; there are: a0"),
        ({"north": ["a0", "b1"], "south": ["a2", "b3", "a0"]}, "groups: a0 is in north and in south; wanted one"),
    ],
)
def test_edges_that_cannot_be_are_one_line(world, groups, said):
    with pytest.raises(UserError, match=said):
        world("hierarchical", {"grouping": {"name": "given", "groups": groups}}).play()


def test_edges_must_be_known_before_anything_is_trained():
    with pytest.raises(UserError, match=r"toy: form.grouping weights compares trained adapters, and the form hierarch"):
        make_recipe({"form": {"name": "hierarchical", "grouping": "weights"}}, "toy")
