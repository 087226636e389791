"""IFCA finds who is alike by what suits them, on targets that leave no doubt."""

import pytest
import torch

from coterie.core.errors import UserError
from coterie.federation import parting


def numbers(w):
    return [more["numbers"] for event, more in w.events if event == "round_done" and more["round"]]


def test_one_cluster_is_federated_averaging_to_the_bit(world):
    for settings in ({}, {"aggregator": "product_svd"}, {"keeping": "ditto"}):
        average, single = world("fedavg", settings, rounds=3), world("ifca", {"clusters": 1, **settings}, rounds=3)
        average.play()
        single.play()
        assert single.final()["state"]["clusters"]["cluster-0"] == average.final()["state"]["w"]
        assert single.final()["files"].keys() - average.final()["files"].keys()  # published under another name
        kept = [name for name in average.final()["files"] if name.startswith("sites/")]
        assert all(single.final()["files"][name] == average.final()["files"][name] for name in kept)


def test_the_true_groups_are_found_and_their_sizes_told(world):
    w = world("ifca", {"clusters": 2}, 7, rounds=4)
    results = w.play()
    labels = results["clusters"]
    assert len(set(labels.values())) == 2
    assert all((labels[c] == labels[d]) == (c[0] == d[0]) for c in labels for d in labels)
    sizes = {key: value for key, value in numbers(w)[-1].items() if key.startswith("group/size/")}
    assert sorted(sizes.values()) == [3.0, 4.0]
    assert numbers(w)[-1]["ifca/moved"] == 0


def test_a_bad_start_is_mended_by_the_losses(world, monkeypatch):
    """Clients who begin in the wrong cluster leave it: that, and not the start, is the algorithm."""
    w = world("ifca", {"clusters": 2}, 6, rounds=5)

    def crossed(adapters, count, seed):
        return {c: f"cluster-{int(c in ('a0', 'a2', 'b1'))}" for c in adapters}  # one of three is astray on each side

    monkeypatch.setattr(parting, "far_apart", crossed)
    labels = w.play()["clusters"]
    assert all((labels[c] == labels[d]) == (c[0] == d[0]) for c in labels for d in labels)
    assert sum(told["ifca/moved"] for told in numbers(w)[1:]) == 2


def test_a_cluster_that_nobody_takes_keeps_its_adapter(world):
    w = world("ifca", {"clusters": 3}, 4, rounds=3)
    w.targets = {c: torch.full((world.layout.size,), 5.0 if c[0] == "a" else -5.0) for c in w.targets}
    w.play()
    longer = world.again(w, rounds=4)
    longer.play()
    told = numbers(w)
    empty = [key for key, value in told[-1].items() if key.startswith("group/size/") and value == 0]
    assert len(empty) == 1
    assert told[-1]["group/count"] == 2
    before, after = w.final()["state"]["clusters"], longer.final()["state"]["clusters"]
    assert [name for name in before if before[name] == after[name]] == [empty[0].removeprefix("group/size/")]


def test_a_client_is_sent_every_adapter_once_they_parted(world):
    w = world("ifca", {"clusters": 3}, 4, rounds=3)
    rows = [row for row in w.play()["bytes"] if row[4] == "train"]
    one = 4 * world.layout.size

    def each(number, direction):
        return [row[6] for row in rows if row[0] == number and row[2] == direction]

    assert all(one < n < one + 2000 for n in each(1, "down") + each(1, "up") + each(2, "up") + each(3, "up"))
    assert all(3 * one < n < 3 * one + 4000 for n in each(2, "down") + each(3, "down"))


def test_fewer_clients_than_clusters_is_one_line(world):
    with pytest.raises(UserError, match=r"form.clusters: 5 clusters cannot be made of 4 clients; lower it"):
        world("ifca", {"clusters": 5}, 4).play()
    with pytest.raises(UserError, match="4 clusters cannot be made of 2 clients in a round; lower it or raise"):
        world("ifca", {"clusters": 4}, 6, share=0.3).play()


def test_who_was_never_asked_is_served_the_common_adapter(world):
    w = world("ifca", {"clusters": 2}, 9, rounds=2, share=0.3)
    results = w.play()
    strangers = set(w.targets) - set(results["clusters"])
    assert strangers
    state = w.final()
    assert state["state"]["root"]
    first = "sites/{}/adapters/served/adapter_model.safetensors"
    served = [state["files"][first.format(c)] for c in sorted(strangers)]
    assert all(one == served[0] for one in served)


def test_only_some_clients_part_the_clusters_where_there_are_very_many(world, monkeypatch):
    monkeypatch.setattr(parting, "MOST", 4)
    w = world("ifca", {"clusters": 2}, 9, rounds=3)
    results = w.play()
    asked = {row[0]: sum(r[0] == row[0] for r in results["bytes"] if r[2] == "up" and r[4] == "train")
             for row in results["bytes"] if row[4] == "train"}  # fmt: skip
    assert asked == {1: 4, 2: 9, 3: 9}
    labels = results["clusters"]
    assert all((labels[c] == labels[d]) == (c[0] == d[0]) for c in labels for d in labels)
