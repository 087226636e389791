"""What a study will play, what it cannot, and about how long that takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coterie.core.errors import UserError
from coterie.core.shelf import shelf_name
from coterie.models.shelves import makes
from coterie.runs.budget import local_steps
from coterie.runs.pace import is_measured, made_in, pace_of
from coterie.runs.recipe import Recipe
from coterie.studies.cast import Casts, cast_of
from coterie.studies.chosen import Chosen
from coterie.studies.playing import needs_tuning
from coterie.studies.recipe import BASE, Arm

JUDGING = 0.0011  # for a picture that a judge learns from, in one epoch


@dataclass(frozen=True)
class Job:
    """One arm with what it costs.

    Attributes:
        arm: which.
        seconds: of one core, for one seed.
        tuning: of one core, for choosing its rate and what else it tries.
        measured: whether that is what its backbone was measured to take, and not what an embedded one does.
    """

    arm: Arm
    seconds: float
    tuning: float
    measured: bool = True


@dataclass(frozen=True)
class Plan:
    """What will be played.

    Attributes:
        jobs: arms that there are.
        missing: arms that there are not, and why.
        seeds: of the runs.
        judging: seconds of one core for the judges.
    """

    jobs: tuple[Job, ...]
    missing: dict[str, str]
    seeds: tuple[int, ...]
    judging: float

    @property
    def core_seconds(self) -> float:
        return self.judging + sum(job.tuning + job.seconds * len(self.seeds) for job in self.jobs)

    def hours(self, cores: int) -> float:
        return self.core_seconds / max(1, cores) / 3600


def plan(chosen: Chosen, arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> Plan:
    """The arms and seeds asked for, ``base`` always among them; none are all.

    Raises:
        UserError: if an arm that was asked for is not in the study, or there is no such arm in this version.
    """
    wanted = [chosen.arm(name).name for name in arms] or [arm.name for arm in chosen.study.arms]
    jobs, missing, casts = [], {}, Casts(chosen)
    for arm in chosen.study.arms:
        if arm.name not in wanted and arm.name != BASE:
            continue
        try:
            recipe = chosen.recipe(arm, 0)
        except UserError as error:
            reason = str(error).splitlines()[0].removeprefix(f"{chosen.path}: arms.{arm.name}: ")
            if arm.name in arms or arm.name == BASE:
                raise UserError(f"{chosen.path}: the arm {arm.name!r} is not available: {reason}") from error
            missing[arm.name] = reason
            continue
        if arm.rate_of in missing:
            missing[arm.name] = f"takes the rate of {arm.rate_of!r}, which is not available"
            continue
        jobs.append(Job(arm, _seconds(casts, recipe), _tuning_seconds(casts, arm), is_measured(recipe)))
    needed = {job.arm.rate_of for job in jobs} - {job.arm.name for job in jobs} - {""}
    for arm in map(chosen.arm, sorted(needed)):
        jobs.append(Job(arm, 0.0, _tuning_seconds(casts, arm), is_measured(chosen.recipe(arm, 0))))
    return Plan(tuple(jobs), missing, tuple(seeds) or chosen.setting.seeds, _judging_seconds(chosen))


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _seconds(casts: Casts, recipe: Recipe, tuning: bool = False) -> float:
    chosen, cast = casts.chosen, casts.of(recipe)
    names, looks = [*cast.looks, *cast.apart], len(set(cast.looks.values()))
    form: Any = recipe.form
    held, rounds, pace = cast.held_out, recipe.rounds, pace_of(recipe)
    own = getattr(getattr(form, "keeping", None), "steps", 0)
    trained = local_steps(form, rounds) * form.fit.batch * len(names)
    levels = 1 if makes(recipe.backbone) == "texts" else recipe.evaluation.levels
    evaluations = rounds // recipe.evaluation.every + 1
    everything = len(names) if rounds and (own or shelf_name(form) == "local") else looks
    scored = levels * len(names) * held * evaluations
    drawing = made_in(recipe) * recipe.evaluation.copies * len(names)
    if not tuning:
        scored += levels * everything * held * max(1, len(names) // looks)
    if not tuning and chosen.study.judging:
        drawing += pace.stepped * 2 * chosen.setting.samples * looks * chosen.setting.drawing_steps
    return float(pace.begin + pace.trained * trained + pace.scored * scored + drawing)


def _tuning_seconds(casts: Casts, arm: Arm) -> float:
    chosen = casts.chosen
    if not needs_tuning(arm, chosen):
        return 0.0
    rates = len(chosen.rates(arm))
    runs = (rates + 0.7 if rates > 1 else 1) + sum(len(values) for values in arm.tries.values()) * chosen.setting.tries
    return runs * _seconds(casts, chosen.recipe(arm, chosen.study.tuning_seed, tuning=True), True)


def _judging_seconds(chosen: Chosen) -> float:
    setting = chosen.setting
    if chosen.study.judging is None:
        return 0.0
    most = setting.most or 900
    looks = len(set(cast_of(chosen).looks.values()))
    public = 1400 * len(chosen.study.judging.public)
    return JUDGING * setting.epochs * (3 * most * looks + 2 * public + 2 * (most * looks + public))
