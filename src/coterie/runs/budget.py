"""Equal local steps, whatever the form: a round of one is not as much training as a round of another."""

from __future__ import annotations

from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING, Any, NamedTuple

from coterie.core.errors import UserError

if TYPE_CHECKING:
    from coterie.runs.recipe import Recipe


class Sharing(NamedTuple):
    """How a client's steps are shared out: ``times`` trainings, each with ``each`` steps of the keeping's, and ``end``
    steps once more at the end.
    """

    times: int
    each: int
    end: int

    def steps(self, budget: int) -> int | None:
        """``form.fit.steps`` that use a budget up; None if no number does."""
        steps, left = divmod(budget - self.end, self.times) if self.times else (-1, 0)
        return None if left or steps < self.each else steps - self.each


def local_steps(form: Any, rounds: int) -> int:
    """Optimiser steps that a client who is asked in every round takes in a whole run, with those for itself."""
    times, each, end = sharing(form, rounds)
    return times * (int(form.fit.steps) + each) + end


def within_budget(recipe: Recipe, where: str, key: str = "budget", other: Recipe | None = None) -> Recipe:
    """The recipe with ``form.fit.steps`` such that its budget is used up.

    Args:
        recipe: of a run or of its control.
        where: begins every complaint.
        key: ``control.budget`` for a control.
        other: the other one of run and control, where both have the same budget to share out.

    Raises:
        UserError: if no number of steps does that, with budgets near it for which one does, in the other one too.
    """
    if not recipe.budget:
        return recipe
    own = sharing(recipe.form, recipe.rounds)
    if not own.times:
        instead = "" if key == "budget" else f", or take {key} = 0"
        raise UserError(f"{where}: {key}: {recipe.budget} steps cannot be taken in no round; raise rounds{instead}")
    steps = own.steps(recipe.budget)
    if steps is None:
        raise UserError(
            f"{where}: {key}: {recipe.budget} local steps cannot be shared out evenly over {own.times} trainings with "
            f"{own.each} steps for the keeping in each and {own.end} at the end; take "
            f"{_advice(recipe.budget, key, own, other)}"
        )
    form: Any = recipe.form
    return recipe.model_copy(update={"form": replace(form, fit=replace(form.fit, steps=steps))})


def sharing(form: Any, rounds: int) -> Sharing:
    """How a form shares steps out over its rounds."""
    keeping = getattr(form, "keeping", None)
    steps = int(getattr(keeping, "steps", 0))
    times = rounds * int(getattr(form, "edge_rounds", 1))  # a client trains in every edge round
    return Sharing(times, 0, steps) if getattr(keeping, "only_at_the_end", False) else Sharing(times, steps, 0)


def _advice(budget: int, key: str, own: Sharing, other: Recipe | None) -> str:
    """Budgets near one that can be typed instead: for run and control alike, or where none suits both, for each."""
    alone, theirs = _words(_near(budget, [own])), sharing(other.form, other.rounds) if other is not None else None
    if theirs is None or not theirs.times:
        return alone
    if both := _near(budget, [own, theirs]):
        return f"budget = {_words(both)}, for run and control"
    if key != "budget":
        return f"{key} = {alone}, as no budget suits run and control"
    control = str(budget) if theirs.steps(budget) is not None else _words(_near(budget, [theirs]))
    return f"{alone} for the run and control.budget = {control}, as none suits both"


def _near(budget: int, all_of: list[Sharing]) -> list[int]:
    """The nearest budgets below and above one that suit all of several ways to share out; empty if none ever does."""
    period = lcm(*(one.times for one in all_of))
    first = max(one.times * one.each + one.end for one in all_of)  # below it somebody would train less than nothing

    def found(numbers: range) -> list[int]:
        return [n for n in numbers if all(one.steps(n) is not None for one in all_of)][:1]

    below = found(range(budget - 1, max(first, budget - period) - 1, -1))
    return below + found(range(max(first, budget + 1), max(first, budget + 1) + period))


def _words(budgets: list[int]) -> str:
    return f"{budgets[0]} or {budgets[1]}" if len(budgets) > 1 else f"at least {budgets[0]}"
