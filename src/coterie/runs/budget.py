"""Equal local steps, whatever the form: a round of one is not as much training as a round of another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from coterie.core.errors import UserError

if TYPE_CHECKING:
    from coterie.runs.recipe import Recipe


def local_steps(form: Any, rounds: int) -> int:
    """Optimiser steps that a client who is asked in every round takes in a whole run, with those for itself."""
    each, end = beside(form)
    return rounds * _trainings(form) * (int(form.fit.steps) + each) + end


def within_budget(recipe: Recipe, where: str) -> Recipe:
    """The recipe with ``form.fit.steps`` such that its budget is used up.

    Raises:
        UserError: if no number of steps does that, with budgets near it for which one does.
    """
    if not recipe.budget:
        return recipe
    each, end = beside(recipe.form)
    times = recipe.rounds * _trainings(recipe.form)
    if not times:
        raise UserError(f"{where}: budget: {recipe.budget} steps cannot be taken in no round; raise rounds")
    steps, left = divmod(recipe.budget - end, times)
    if left or steps < each:
        fewer, more = (times * max(each, steps + one) + end for one in (0, 1))
        near = f"{fewer} or {more}" if steps >= each else f"at least {fewer}"
        raise UserError(
            f"{where}: budget: {recipe.budget} local steps cannot be shared out evenly over {times} trainings with "
            f"{each} steps for the keeping in each and {end} at the end; take {near}"
        )
    form: Any = recipe.form
    return recipe.model_copy(update={"form": replace(form, fit=replace(form.fit, steps=steps - each))})


def _trainings(form: Any) -> int:
    """Times that a client trains in a round."""
    return int(getattr(form, "edge_rounds", 1))


def beside(form: Any) -> tuple[int, int]:
    """Steps of a keeping with each training, and at the end."""
    keeping = getattr(form, "keeping", None)
    steps = int(getattr(keeping, "steps", 0))
    return (0, steps) if getattr(keeping, "only_at_the_end", False) else (steps, 0)
