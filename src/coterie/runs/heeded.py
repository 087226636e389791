"""Settings that a form would pass over in silence, as if they had been heard; each complaint names the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from coterie.core.errors import UserError
from coterie.core.shelf import shelf_name

if TYPE_CHECKING:
    from coterie.runs.recipe import Recipe


def require_heeded(recipe: Recipe, where: str) -> None:
    """All that is set has a meaning in the recipe's form, where anything is trained.

    Raises:
        UserError: with the key, why it would do nothing and what would be right.
    """
    if recipe.rounds:
        _require_learning_said(recipe, where)


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
