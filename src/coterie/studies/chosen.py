"""A study at one setting, with the data where it lies, and the recipe of each of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError, nearest
from coterie.runs.places import moved, seen_from, whole
from coterie.runs.plain import as_plain, merged
from coterie.runs.reading import make_recipe
from coterie.runs.recipe import Recipe
from coterie.studies.read import read_study
from coterie.studies.recipe import Arm, Setting, Study


@dataclass(frozen=True)
class Chosen:
    """A study at one setting, with the data where it lies.

    Attributes:
        study: as read.
        path: of its file.
        name: of the setting.
        data: folder of the data files.
    """

    study: Study
    path: Path
    name: str
    data: Path

    @property
    def setting(self) -> Setting:
        return self.study.settings[self.name]

    def arm(self, name: str) -> Arm:
        """By name.

        Raises:
            UserError: with the nearest name.
        """
        for arm in self.study.arms:
            if arm.name == name:
                return arm
        raise UserError(f"{self.path}: no arm is called {name!r}{nearest(name, [a.name for a in self.study.arms])}")

    def rates(self, arm: Arm) -> tuple[float, ...]:
        """Learning rates that an arm chooses from."""
        if not arm.rates:
            return self.setting.rates
        return arm.rates if len(self.setting.rates) > 1 else (arm.rates[len(arm.rates) // 2],)

    def recipe(self, arm: Arm, seed: int, sets: Mapping[str, Any] | None = None, tuning: bool = False) -> Recipe:
        """The recipe of one run.

        Args:
            arm: which.
            seed: of the run.
            sets: tables laid over all others, like the learning rate.
            tuning: whether it is measured on validation subjects.

        Raises:
            UserError: if the arm asks for what there is not.
        """
        where = f"{self.path}: arms.{arm.name}"
        plain = merged(self.study.common, self.setting.common)
        if tuning:
            plain = merged(merged(plain, {"data": {"test": "validation"}}), self.setting.tuning)
        plain = merged(plain, arm.changes)
        plain = merged(plain, {"seed": seed, "name": self.study.name, **(sets or {})})
        plain["data"] = _lying(plain.get("data", {}), self.data)
        plain = moved(plain, Recipe, seen_from(self.path.parent))
        plain = _spent(plain, arm)
        recipe = make_recipe({**plain, "control": {}}, where)
        source: Any = recipe.data.source
        if is_dataclass(source) and "folder" in {f.name for f in fields(source)}:
            plain["data"]["source"]["folder"] = str(self.data)
            recipe = make_recipe({**plain, "control": {}}, where)
        return make_recipe(moved(as_plain(recipe), Recipe, whole), where)


def _lying(plain: Any, data: Path) -> Any:
    """Settings with the folder of the data in its place."""
    if isinstance(plain, Mapping):
        return {key: _lying(value, data) for key, value in plain.items()}
    return plain.replace("{data}", str(data)) if isinstance(plain, str) else plain


def _spent(plain: dict[str, Any], arm: Arm) -> dict[str, Any]:
    """The same steps in other rounds, as the arm's budget says."""
    rounds, fit = int(plain.get("rounds", 3)), plain.get("form", {}).get("fit", {})
    steps = int(fit.get("steps", 16))
    if arm.budget == "once":
        return merged(plain, {"rounds": 1, "form": {"fit": {"steps": rounds * steps}}})
    if arm.budget == "own last":
        return merged(plain, {"rounds": rounds - 1, "form": {"keeping": {"steps": steps}}})
    return plain


def chosen(path: Path, setting: str, data: Path | None) -> Chosen:
    """A study at one setting.

    Raises:
        UserError: see ``read_study``; or there is no such setting.
    """
    study = read_study(path)
    if setting not in study.settings:
        raise UserError(f"{path}: no setting is called {setting!r}{nearest(setting, study.settings)}")
    return Chosen(study, path, setting, (data or Path(".")).absolute())
