"""Laws of every order of a relay, and of the two that know distances."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.links import distances
from coterie.core.site import Facts
from coterie.federation.orders.shortest import exact, length, mended
from coterie.federation.shelves import ORDERS

places = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=1, max_size=14)


def people(points):
    return {f"c{i:02d}": Facts(1, place=point) for i, point in enumerate(points)}


@pytest.mark.parametrize("name", ORDERS.names())
@given(points=places, round=st.integers(0, 5), seed=st.integers(0, 3))
def test_everybody_is_visited_once_and_the_same_way_again(name, points, round, seed):
    facts = people(points)
    order = ORDERS.build(name)
    path = order.path(sorted(facts), round, distances(facts), seed)
    assert sorted(path) == sorted(facts)
    assert path == order.path(sorted(facts), round, distances(facts), seed)


@given(points=places.filter(lambda p: 3 <= len(p) <= 6))
def test_the_shortest_path_is_the_shortest_of_all(points):
    facts = people(points)
    costs = distances(facts)
    best = min(length(path, costs) for path in permutations(facts))
    assert length(exact(sorted(facts), costs), costs) == pytest.approx(best, abs=1e-9)
    assert length(ORDERS.build("shortest").path(sorted(facts), 0, costs, 0), costs) == pytest.approx(best, abs=1e-9)


@given(points=places.filter(lambda p: len(p) > 2))
def test_mending_never_makes_a_path_longer(points):
    facts = people(points)
    costs = distances(facts)
    greedy = min(length(ORDERS.build("nearest").path(sorted(facts), k, costs, 0), costs) for k in range(20))
    assert length(mended(sorted(facts), costs), costs) <= greedy + 1e-9


@given(points=places.filter(lambda p: len(p) > 1))
def test_the_nearest_comes_next(points):
    facts = people(points)
    costs = distances(facts)
    path = ORDERS.build("nearest").path(sorted(facts), 1, costs, 0)
    for i, client in enumerate(path[:-2]):
        assert costs[client, path[i + 1]] == min(costs[client, later] for later in path[i + 1 :])


def test_random_orders_differ_by_round_and_boustrophedon_turns():
    clients = [f"c{i}" for i in range(8)]
    drawn = {tuple(ORDERS.build("random").path(clients, round, {}, 0)) for round in range(10)}
    assert len(drawn) == 10
    ox = ORDERS.build("boustrophedon")
    assert ox.path(clients, 0, {}, 0) == clients == ox.path(clients, 1, {}, 0)[::-1] == ox.path(clients, 2, {}, 0)
