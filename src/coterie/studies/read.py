"""A study from its file, with an arm for each condition, and what must be true of its arms and hypotheses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError, nearest
from coterie.core.shelf import Problems, validated
from coterie.runs.plain import merged
from coterie.runs.recipe import Recipe
from coterie.studies.recipe import BASE, JUDGED, Arm, Condition, Hypothesis, Judging, Setting, Study

_TABLES: dict[str, type[Any]] = {
    "settings": Setting,
    "arms": Arm,
    "conditions": Condition,
    "hypotheses": Hypothesis,
    "judging": Judging,
}


def read_study(path: Path) -> Study:
    """The study of a file.

    Raises:
        UserError: with the file, the key, what is wrong and the nearest right name.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        others = sorted(p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        raise UserError(f"{path}: no such study{nearest(path.name, others) if others else ''}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: the study cannot be read: {error}") from error
    own = [key for key in plain if key in Recipe.model_fields and key not in Study.model_fields]
    if own and not any(key in plain for key in ("arms", "settings", "common")):
        raise UserError(f"{path}: {own[0]}: this is a recipe, not a study; play it with: coterie run {path}")
    try:
        for key, kind in _TABLES.items():
            for where, table in _tables(key, plain.get(key)):
                validated(kind, table, where)
        study: Study = validated(Study, plain, "")
    except Problems as problems:
        raise UserError("\n".join(f"{path}: {key}: {text}" for key, text in problems.items)) from problems
    study = _crossed(study, path)
    _require_arms(study, path)
    return study


def _crossed(study: Study, path: Path) -> Study:
    """The study with an arm for each of the conditions that it is tried under."""
    known, arms = {one.name: one for one in study.conditions}, list[Arm]()
    for arm in study.arms:
        for name in arm.under:
            if name not in known:
                raise UserError(f"{path}: arms.{arm.name}.under: no condition is called {name!r}{nearest(name, known)}")
        first = f"{arm.name}: {arm.under[0]}" if arm.under else ""
        for name in arm.under:
            both, one = f"{arm.name}: {name}", known[name]
            changes = merged(arm.changes, one.changes)
            rate_of = arm.rate_of or ("" if both == first else first)
            more = {"name": both, "changes": changes, "rate_of": rate_of, "bare": one.bare, "under": ()}
            arms.append(arm.model_copy(update=more))
        if not arm.under:
            arms.append(arm)
    return study.model_copy(update={"arms": tuple(arms)})


def _tables(key: str, value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Tables of one kind with the key that a complaint names; what is no table is left for the whole to find."""
    if key == "judging":
        return [(key, value)] if isinstance(value, Mapping) else []
    if isinstance(value, Mapping):
        return [(f"{key}.{name}", table) for name, table in value.items() if isinstance(table, Mapping)]
    rows = value if isinstance(value, list) else []
    return [(f"{key}.{row.get('name', i)}", row) for i, row in enumerate(rows) if isinstance(row, Mapping)]


def _require_arms(study: Study, path: Path) -> None:
    names = [arm.name for arm in study.arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"{path}: arms: {twice!r} is there {names.count(twice)} times; wanted each name once")
    if BASE not in names:
        raise UserError(f"{path}: arms: none is called 'base'; all shares are of the bare model's loss")
    said = [(f"arms.{a.name}.rate_of", a.rate_of) for a in study.arms]
    said += [(f"hypotheses.{h.name}.{key}", getattr(h, key)) for h in study.hypotheses
             for key in ("better", "other", "reference")]  # fmt: skip
    said += [(f"hypotheses.{h.name}.even", name) for h in study.hypotheses for name in h.even]
    said += [("target", study.target), *(("shown", name) for name in study.shown)]
    for where, name in said:
        if name and name not in names:
            raise UserError(f"{path}: {where}: no arm is called {name!r}{nearest(name, names)}")
    for h in study.hypotheses:
        if h.criterion == "share" and not h.reference:
            raise UserError(f"{path}: hypotheses.{h.name}: a share needs a reference, like reference = 'oracle'")
        if (h.criterion == "steadier") != (len(h.even) == 2):
            raise UserError(f"{path}: hypotheses.{h.name}.even: 'steadier' takes two arms there, nothing else does")
        if h.measure in JUDGED and study.judging is None:
            raise UserError(f"{path}: hypotheses.{h.name}.measure: {h.measure} is of drawings; add the table [judging]")
