"""Settings that a form would pass over in silence, as if they had been heard; each complaint names the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coterie.core.errors import UserError
from coterie.core.shelf import shelf_name
from coterie.core.work import EVERY_LEVEL

if TYPE_CHECKING:
    from coterie.runs.recipe import Recipe


def require_heeded(recipe: Recipe, where: str) -> None:
    """All that is set has a meaning in the recipe's form, where anything is trained.

    Raises:
        UserError: with the key, why it would do nothing and what would be right.
    """
    if recipe.rounds:
        _require_learning_said(recipe, where)
        _require_first_to_answer(recipe, where)
        _require_levels_left_open(recipe.form, where)
        _require_factor_left_open(recipe.form, where)


def _require_learning_said(recipe: Recipe, where: str) -> None:
    """Who says nothing of what it learned, or not in one piece, cannot say too much."""
    given, form = recipe.devices.overstates, recipe.form
    if all(times == 1 for times in (given.values() if isinstance(given, Mapping) else given)):
        return
    mine = f"{where}: devices.overstates: in the form {shelf_name(form)}"
    if getattr(form, "trains_alone", False):
        raise UserError(f"{mine} nobody is told what a client learned; leave it out, or take fedavg")
    if getattr(form, "splits_layers", False):
        raise UserError(
            f"{mine} the server learns from activations and gradients of every step, which nobody overstates; leave it "
            "out, or take fedavg"
        )


def _require_first_to_answer(recipe: Recipe, where: str) -> None:
    """Where somebody's answer is needed to go on, or everybody is asked again, no answer comes too late to count."""
    form: Any = recipe.form
    if not recipe.cohort.over:
        return
    mine = f"{where}: cohort.over: the form {shelf_name(form)}"
    if getattr(form, "hands_over", False):
        raise UserError(f"{mine} waits for one client after another; leave it out, and raise cohort.share to ask more")
    if getattr(form, "edge_rounds", 1) > 1:
        raise UserError(
            f"{mine} asks everybody again in the second edge round, also who was too late in the first; leave it out, "
            "or take form.edge_rounds = 1"
        )


def _require_levels_left_open(form: Any, where: str) -> None:
    """A form that shares noise levels out among clients and server says who trains which."""
    if getattr(form, "trains_on_server", False) and form.fit.levels != EVERY_LEVEL:
        raise UserError(
            f"{where}: form.fit.levels: the form {shelf_name(form)} has clients train up to form.cut and the server "
            "above it; leave it out, and set form.cut"
        )


def _require_factor_left_open(form: Any, where: str) -> None:
    """Which factor trains alone is said by a rule, in every round anew."""
    if form.fit.train is not None:
        raise UserError(
            f"{where}: form.fit.train: a rule says which factor trains; leave it out, and take ffa or rolora"
        )
