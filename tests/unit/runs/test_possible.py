"""What a form asks of the people of a recipe, in whatever round they are there."""

import pytest

from coterie.core.errors import UserError
from coterie.runs.people import population_of
from coterie.runs.possible import require_possible
from coterie.runs.reading import make_recipe

PEOPLE = ["client-1", "client-2", "client-3"]
DATA = {"partition": "iid", "num_clients": 3}
LATER = [{"round": 2, "join": "client-3"}, {"round": 3, "leave": "client-1"}]


@pytest.fixture(scope="module")
def people():
    return population_of(make_recipe({"form": "fedavg", "data": DATA}, "toy"), 8)


def possible(people, form, **more):
    require_possible(make_recipe({"form": form, "data": DATA, **more}, "toy"), people)


def test_an_order_names_also_who_is_not_there_yet_or_leaves(people):
    form = {"name": "sequential", "order": {"name": "fixed", "clients": PEOPLE}}
    possible(people, form, changes=LATER)
    form["order"] = {"name": "fixed", "clients": PEOPLE[:2]}
    with pytest.raises(UserError, match=r"^form.order.clients: client-3 is left out"):
        possible(people, form, changes=LATER)


def test_groups_are_of_everybody_who_is_ever_there(people):
    for form in ("clustered", "hierarchical"):
        some = {"name": "given", "groups": {"north": PEOPLE[:1], "south": PEOPLE[1:]}}
        possible(people, {"name": form, "grouping": some}, changes=LATER)
        some = {"name": "given", "groups": {"north": PEOPLE[:2]}}
        with pytest.raises(UserError, match=r"^form.grouping.groups: client-3 is in none of them"):
            possible(people, {"name": form, "grouping": some}, changes=LATER)


def test_an_edge_has_somebody_at_the_start(people):
    groups = {"north": PEOPLE[:2], "south": PEOPLE[2:]}
    form = {"name": "hierarchical", "grouping": {"name": "given", "groups": groups}}
    possible(people, form)
    with pytest.raises(
        UserError, match=r"^form.grouping.groups: nobody of south is here, and an edge needs a client; "
    ):
        possible(people, form, changes=LATER)


def test_who_is_asked_when_clusters_part_is_enough_for_them(people):
    possible(people, {"name": "ifca", "clusters": 2}, changes=LATER)
    with pytest.raises(UserError, match=r"^form.clusters: 3 clusters cannot be made of 2 clients; lower it"):
        possible(people, {"name": "ifca", "clusters": 3}, changes=LATER)
    with pytest.raises(UserError, match=r"3 clusters cannot be made of 2 clients in a round; lower it or raise"):
        possible(people, {"name": "ifca", "clusters": 3, "warm": 2}, cohort={"share": 0.6})
    possible(people, {"name": "ifca", "clusters": 3, "warm": 4}, cohort={"share": 0.6})  # they never part
