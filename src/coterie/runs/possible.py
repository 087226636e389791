"""What a form asks of the people of a recipe, checked before anything is loaded."""

from __future__ import annotations

from coterie.core.errors import UserError
from coterie.core.shelf import shelf_name
from coterie.data.population import Population
from coterie.runs.recipe import Recipe


def require_possible(recipe: Recipe, people: Population) -> None:
    """Enough clients for the clusters that are asked for, and everybody's wish where wishes are compared.

    Raises:
        UserError: with the key, who is concerned and what would be right.
    """
    grouping = getattr(recipe.form, "grouping", None)
    if grouping is None:
        return
    wanted, there = getattr(getattr(grouping, "split", None), "clusters", 0), len(people.clients)
    if wanted > there:
        raise UserError(
            f"form.grouping.split.clusters: {wanted} clusters cannot be made of {there} clients; take at most {there}, "
            "or 0 to have the number found"
        )
    if grouping.reads in ("wishes", "both") and recipe.data.pool != "none":
        raise UserError(
            f"data.pool: pooled pictures bring no wishes, which form.grouping {shelf_name(grouping)} compares; "
            "take form = 'local', or data.pool = 'none'"
        )
    without = [name for name, client in people.clients.items() if not client.wishes.get(recipe.data.wish)]
    if grouping.reads in ("wishes", "both") and without:
        others = f" and {len(without) - 1} more have" if len(without) > 1 else " has"
        raise UserError(
            f"data.wish: {without[0]}{others} no wish, which form.grouping {shelf_name(grouping)} compares; "
            "give each client a sentence, in the column 'wish' or a wish.txt, or take form.grouping = 'weights'"
        )
