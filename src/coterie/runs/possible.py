"""What a form asks of the people of a recipe, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.core.errors import UserError, nearest
from coterie.core.shelf import shelf_name
from coterie.core.site import Facts
from coterie.data.population import Population
from coterie.federation import parting
from coterie.federation.sampling import invite
from coterie.runs.attendance import Attendance, require_known
from coterie.runs.recipe import Recipe


def require_possible(recipe: Recipe, people: Population) -> None:
    """All of this: whoever is named is there, groups, orders and clusters can be made of who is there in every round.

    Raises:
        UserError: with the key, who is concerned and what would be right.
    """
    require_known(recipe.changes, {name: client.wishes for name, client in people.clients.items()})
    require_wishes(recipe, people)
    require_enough(recipe, people)
    require_order_known(recipe, people)
    facts = facts_of(recipe, people)
    require_groups(recipe, facts)


def facts_of(recipe: Recipe, people: Population) -> dict[str, Facts]:
    """What is known of clients before the first round.

    Raises:
        UserError: if ``devices`` names somebody who is not there, or asks how far clients are without a place for them.
    """
    devices = recipe.devices.of(list(people.clients), recipe.seed)
    recipe.devices.reaches(people.clients, recipe.seed)
    places = recipe.devices.places(people.clients, recipe.seed)
    return {
        name: Facts(len(client.train), client.style, devices[name].rank or None, places.get(name))
        for name, client in people.clients.items()
    }


def require_groups(recipe: Recipe, facts: Mapping[str, Facts]) -> None:
    """What needs no message to be known: groups that are named or true, orders, and what a form asks of its clients."""
    grouping, attendance = getattr(recipe.form, "grouping", None), Attendance(recipe.changes, tuple(facts))
    require_people = getattr(recipe.form, "require_people", None)
    for number in sorted({0, *(change.round for change in recipe.changes)}):
        here = {client: facts[client] for client in attendance.present(number)}
        if grouping is not None and grouping.reads == "nothing":
            grouping.group({}, here, recipe.seed)
        if require_people is not None:
            require_people(here, recipe.seed, not number)
    form: Any = recipe.form
    if hasattr(form, "warm") and form.warm <= recipe.rounds:  # the round in which clusters part
        cohort, present = recipe.cohort, attendance.present(form.warm)
        asked = invite(present, cohort.share, cohort.over, {}, recipe.seed, form.warm).clients
        parting.require(form.clusters, len(asked), "clients in a round", "lower it or raise cohort.share")


def require_order_known(recipe: Recipe, people: Population) -> None:
    """Who is named in an order is there in some round."""
    for client in getattr(getattr(recipe.form, "order", None), "clients", ()):
        if client not in people.clients:
            raise UserError(
                f"form.order.clients: there is no client called {client!r}{nearest(client, people.clients)}"
            )


def require_enough(recipe: Recipe, people: Population) -> None:
    """Enough clients for the clusters that are asked for."""
    grouping = getattr(recipe.form, "grouping", None)
    wanted, there = getattr(getattr(grouping, "split", None), "clusters", 0), len(people.clients)
    if wanted > there:
        raise UserError(
            f"form.grouping.split.clusters: {wanted} clusters cannot be made of {there} clients; take at most {there}, "
            "or 0 to have the number found"
        )


def require_wishes(recipe: Recipe, people: Population) -> None:
    """Everybody's wish where wishes are compared."""
    grouping = getattr(recipe.form, "grouping", None)
    if grouping is None or grouping.reads not in ("wishes", "both"):
        return
    if recipe.data.pool != "none":
        raise UserError(
            f"data.pool: pooled pictures bring no wishes, which form.grouping {shelf_name(grouping)} compares; "
            "take form = 'local', or data.pool = 'none'"
        )
    without = [name for name, client in people.clients.items() if not client.wishes.get(recipe.data.wish)]
    if without:
        others = f" and {len(without) - 1} more have" if len(without) > 1 else " has"
        raise UserError(
            f"data.wish: {without[0]}{others} no wish, which form.grouping {shelf_name(grouping)} compares; "
            "give each client a sentence, in the column 'wish' or a wish.txt, or take form.grouping = 'weights'"
        )
