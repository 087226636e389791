"""Recipes out of files, settings and plain values. Unknown keys are errors, with the nearest right name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.core.shelf import Problems, validated
from coterie.runs.budget import within_budget
from coterie.runs.compatible import require_compatible
from coterie.runs.places import moved, relative_to, seen_from, whole
from coterie.runs.plain import as_plain, lay_over, merged, setting
from coterie.runs.recipe import Recipe


def read_recipe(path: Path | None, sets: Iterable[str] = ()) -> Recipe:
    """The recipe of a file, or the embedded quick start, with ``a.b=c`` settings laid over it.

    Relative paths in the file are seen from the file's folder, those in settings from the working directory.

    Raises:
        UserError: with the file, the key, what is wrong and the nearest right name.
    """
    if path is None:
        text, where = (
            files("coterie.runs").joinpath("quickstart.toml").read_text(),
            "--set" if (sets := tuple(sets)) else "quick start",
        )
    else:
        where = str(path)
        try:
            text = path.read_text()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise UserError(f"{path}: no such recipe; run without one for the quick start") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: the recipe cannot be read: {error}") from error
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: not TOML: {error}") from error
    if path is not None:
        if "arms" in plain:
            raise UserError(f"{path}: arms: this is a study, not a recipe; play it with: coterie study {path}")
        plain = moved(plain, Recipe, seen_from(path.parent))
    return with_sets(plain, where, sets)


def with_whole_paths(recipe: Recipe) -> Recipe:
    """The same recipe, to be read from anywhere."""
    return make_recipe(moved(as_plain(recipe), Recipe, whole), "recipe")


def for_folder(recipe: Recipe, folder: Path) -> Recipe:
    """The same recipe with its relative paths as a file in a folder has to hold them."""
    return make_recipe(moved(as_plain(recipe), Recipe, relative_to(folder)), "recipe")


def with_sets(plain: dict[str, Any], where: str, sets: Iterable[str] = ()) -> Recipe:
    """A recipe from plain values with ``a.b=c`` settings laid over them, which changes ``plain``."""
    for item in sets:
        lay_over(plain, *setting(item))
    return make_recipe(plain, where)


def make_recipe(plain: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from plain values; ``where`` begins every complaint."""
    try:
        recipe: Recipe = validated(Recipe, plain, "")
        control = _control_of(recipe)
    except Problems as problems:
        raise UserError("\n".join(f"{where}: {key}: {text}" for key, text in problems.items)) from problems
    recipe = within_budget(recipe, where, other=control if _has_same_budget(control, recipe) else None)
    require_compatible(recipe, where)
    if (control := control_of(recipe, where)) is not None:
        require_compatible(control, f"{where}: control")
    return recipe


def control_of(recipe: Recipe, where: str = "recipe") -> Recipe | None:
    """The control run's recipe, or None; ``where`` begins a complaint about its budget."""
    control = _control_of(recipe)
    if control is None:
        return None
    return within_budget(control, where, "control.budget", recipe if _has_same_budget(control, recipe) else None)


def _control_of(recipe: Recipe) -> Recipe | None:
    """The same before its budget is shared out; who says how many steps it takes has none to share."""
    if not recipe.control:
        return None
    plain, changes = as_plain(recipe), recipe.control
    if "budget" not in changes and _says_steps(changes):
        changes = {**changes, "budget": 0}
    control: Recipe = validated(Recipe, merged(plain, {"name": "control", **changes}), "control")
    return control


def _has_same_budget(control: Recipe | None, recipe: Recipe) -> bool:
    return control is not None and "budget" not in recipe.control and control.budget == recipe.budget


def _says_steps(changes: Mapping[str, Any]) -> bool:
    form = changes.get("form")
    fit = form.get("fit") if isinstance(form, Mapping) else None
    return isinstance(fit, Mapping) and "steps" in fit
