"""``coterie study``: registers, chooses rates, plays every arm and seed, judges, and writes the pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.runs.folder import RunFolder
from coterie.studies.chosen import Chosen
from coterie.studies.judges import judges_of
from coterie.studies.plan import Plan, cores, plan
from coterie.studies.playing import Place, choices, is_tuned, play, spread, tune
from coterie.studies.recipe import BASE
from coterie.studies.registration import FILE, changed, register
from coterie.studies.writing import write_all

Say = Callable[[str], None]


def listing(chosen: Chosen, arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[str]:
    """What would be played and about how long it takes, a line each; nothing is played or written."""
    made = plan(chosen, arms, seeds)
    setting = chosen.setting
    lines = [f"{chosen.study.name}, {chosen.name}: {setting.about or 'no description'}"]
    for job in made.jobs:
        tuning = f" and {job.tuning / 60:.1f} min for its rate" if job.tuning else ""
        rough = "" if job.measured else " (not measured: roughly)"
        lines.append(f"  {job.arm.name}: {len(made.seeds)} x {job.seconds / 60:.1f} min of one core{tuning}{rough}")
    lines += [f"  {name}: not available: {reason}" for name, reason in made.missing.items()]
    listed = ", ".join(str(seed) for seed in made.seeds)
    drawings = f"; {setting.samples} drawings of each look; judges {made.judging / 60:.1f} min"
    lines.append(f"seeds {listed}{drawings if chosen.study.judging else ''}")
    lines += [f"{h.name}: {h.claim}" for h in chosen.study.hypotheses]
    alone, here = lasting(made.core_seconds / 3600), lasting(made.hours(cores()))
    rough = "" if all(job.measured for job in made.jobs) else "; roughly, for not all of it was measured"
    lines.append(f"in all about {alone} of one core, {here} on the {cores()} of this machine{rough}")
    return lines


def lasting(hours: float) -> str:
    """A time in words that are never nothing.

    >>> lasting(3.14), lasting(0.5), lasting(0.01)
    ('3.1 h', '30 min', '0.6 min')
    """
    minutes = 60 * hours
    if hours >= 2:
        return f"{hours:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 10 else f"{minutes:.1f} min"


def study(
    chosen: Chosen,
    out: Path,
    results: Path,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    tell: Say = lambda line: None,
    workers: int = 0,
) -> Path:
    """Plays what is not yet played and writes the pages; returns the page.

    Args:
        chosen: the study at a setting.
        out: its folder: registration, rates, runs and results; a study that was stopped goes on there.
        results: folder of the pages.
        arms: by name; none are all that there are. ``base`` is always played.
        seeds: none are the setting's.
        tell: hears a line for everything that is done.
        workers: processes; 0 is one for each core.

    Raises:
        UserError: for anything a user can put right.
    """
    began = time.monotonic()

    def say(line: str) -> None:
        tell(f"{(time.monotonic() - began) / 60:6.1f} min  {line}")

    made = plan(chosen, arms, seeds)
    for name, reason in made.missing.items():
        say(f"the arm {name!r} is not available and left out: {reason}")
    with _alone(out):
        registration = register(chosen, out)
        if registration["setting"] != chosen.name or registration["study"] != chosen.study.name:
            was = f"{registration['study']} at the setting {registration['setting']}"
            raise UserError(f"{out}: holds the study {was}; choose another folder with --out DIR")
        why = changed(chosen, registration)
        say(f"hypotheses registered on {registration['date']}, digest {registration['digest']}")
        if why:
            say(f"warning: verdicts will be withheld: {why}")
        place = Place(chosen, out, registration["digest"] if not why else f"{registration['digest']} changed")
        learned = judges_of(chosen, out, say).measured if chosen.study.judging else {}
        _play(place, made, say, workers or cores())
        say("writing")
        found = _results(place, made)
        stale = sorted({r["digest"] for r in found.values()} - {registration["digest"]})
        if stale and not why:
            why = "some results were made while the study was another one; remove them and play them again"
        about = {
            "registration": registration,
            "changed": why,
            "missing": made.missing,
            "choices": {job.arm.name: choices(place, job.arm) for job in made.jobs},
            "measured": learned,
        }
        path = write_all(place, found, about, results)
    say(f"results: {path}")
    return path


def _play(place: Place, made: Plan, say: Say, workers: int) -> None:
    arms = [job.arm for job in made.jobs]
    spread(tune, [(place, arm.name) for arm in arms if not is_tuned(place, arm)], "rates", say, workers)
    open_ = [
        (place, job.arm.name, seed, choices(place, job.arm)["sets"])
        for seed in made.seeds
        for job in made.jobs
        if job.seconds and place.found(job.arm, seed) is None
    ]
    # the bare model first: others take its scores from there where they are measured on the same
    spread(play, [job for job in open_ if job[1] == BASE], "bare model", say, workers)
    spread(play, [job for job in open_ if job[1] != BASE], "runs", say, workers)


def _results(place: Place, made: Plan) -> dict[tuple[str, int], dict[str, Any]]:
    """All committed results of the seeds asked for, also of arms that were played before."""
    seeds = sorted({*made.seeds, *place.chosen.setting.seeds})
    found = {(arm.name, seed): place.found(arm, seed) for arm in place.chosen.study.arms for seed in seeds}
    return {key: result for key, result in found.items() if result is not None}


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """One process plays a study's folder at a time; refused before it is registered, it leaves nothing there."""
    folder = RunFolder(out)
    made = [path for path in (folder.server, out, *out.parents) if not path.exists()]  # innermost first
    folder.lock()
    try:
        yield
    except UserError:
        if made and not (out / FILE).exists():
            (folder.server / ".lock").unlink(missing_ok=True)
            for path in made:
                with suppress(OSError):  # somebody put something there meanwhile
                    path.rmdir()
        raise
    finally:
        folder.unlock()
