"""Plays the runs of a study, whole runs side by side in processes of one thread. What is finished stays finished."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from coterie.core.errors import UserError
from coterie.engines.disk import write_bytes
from coterie.runs.folder import RunFolder
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import Recipe, digest_of
from coterie.runs.run import resume, start
from coterie.studies.chosen import Chosen
from coterie.studies.recipe import BASE, Arm
from coterie.studies.registration import code_digest

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """A study and the folder it is played in; travels to worker processes.

    Attributes:
        chosen: the study.
        out: its folder.
        digest: of its registration, which every result carries.
    """

    chosen: Chosen
    out: Path
    digest: str

    def run(self, arm: Arm, seed: int) -> Path:
        return self.out / "runs" / f"{arm.slug}-seed-{seed}"

    def result(self, arm: Arm, seed: int) -> Path:
        return self.out / "results" / f"{arm.slug}-seed-{seed}.json"

    def found(self, arm: Arm, seed: int) -> dict[str, Any] | None:
        """What was committed of an arm and seed, or None."""
        path = self.result(arm, seed)
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def played(recipe: Recipe, path: Path, beside: Path | None = None) -> dict[str, Any]:
    """The results of a recipe in a folder, played from wherever it was left.

    Raises:
        UserError: if the folder holds a run of other settings.
    """
    if not RunFolder(path).exists:
        return start(recipe, path, beside=beside)
    there = read_recipe(path / "server" / "recipe.toml")
    wanted = recipe.model_copy(update={"engine": there.engine, "pictures": there.pictures})
    if digest_of(there) != digest_of(wanted):
        raise UserError(f"{path}: holds a run of other settings; remove it, or choose another folder with --out DIR")
    return resume(path, beside=beside)


def play(place: Place, name: str, seed: int, sets: Mapping[str, Any]) -> str:
    """One arm with one seed to its committed result. Runs in a process of its own."""
    from coterie.studies.measuring import measured

    chosen = place.chosen
    arm, base = chosen.arm(name), chosen.arm(BASE)
    run = place.run(arm, seed)
    played(chosen.recipe(arm, seed, sets), run, None if arm is base or arm.bare == "own" else place.run(base, seed))
    found = measured(chosen, place.out, run, seed)
    told = {"arm": name, "seed": seed, "digest": place.digest, "code": code_digest(), "sets": dict(sets)}
    if arm.bare == "own":
        told["own_bare"] = True
    write_bytes(place.result(arm, seed), (json.dumps({**told, **found}, indent=1) + "\n").encode())
    for leftover in [run / "server" / "checkpoints", *run.glob("sites/**/memory")]:
        shutil.rmtree(leftover, ignore_errors=True)  # hundreds of megabytes, and nothing resumes a finished run
    return name


def tune(place: Place, name: str) -> str:
    """The learning rate of an arm on validation subjects and another seed, then what else it tries, one by one.

    The grid of rates grows where its best is at an end. Every value's loss is committed as soon as it is known.
    """
    chosen, arm = place.chosen, place.chosen.arm(name)
    grid = [_with_rate(rate) for rate in chosen.rates(arm)]
    losses: dict[float, float] = {}
    while grid and len(losses) < max(chosen.study.most_rates, len(chosen.rates(arm))):
        sets = grid.pop(0)
        rate = sets["form"]["fit"]["rate"]
        losses[rate] = _validated(place, arm, sets, f"{rate:g}")
        best = min(losses, key=losses.__getitem__)
        if not grid and len(losses) > 1:
            ends = {max(losses): best * 2, min(losses): best / 2}
            grid = [_with_rate(ends[best])] if best in ends else []
    best = min(losses, key=losses.__getitem__)
    found: dict[str, Any] = {"rate": best, "grid": {f"{rate:g}": loss for rate, loss in sorted(losses.items())}}
    sets = _with_rate(best)
    for key, values in arm.tries.items() if chosen.setting.tries else ():
        tried = {str(v): _validated(place, arm, _with(sets, key, v), f"{best:g}-{key}-{v}") for v in values}
        taken = values[min(range(len(values)), key=lambda i: tried[str(values[i])])]
        sets = _with(sets, key, taken)
        found.setdefault("tries", {})[key] = {"taken": taken, "grid": tried}
    write_bytes(_tuned(place, arm), (json.dumps({**found, "sets": sets}, indent=1) + "\n").encode())
    return name


def needs_tuning(arm: Arm, chosen: Chosen) -> bool:
    """Whether an arm has something to choose."""
    return arm.trains and not arm.rate_of and (len(chosen.rates(arm)) > 1 or bool(arm.tries and chosen.setting.tries))


def choices(place: Place, arm: Arm) -> dict[str, Any]:
    """What an arm chose on validation subjects: ``rate``, ``grid``, ``tries`` and the tables ``sets``."""
    if not arm.trains:
        return {"sets": {}}
    if arm.rate_of:
        other = choices(place, place.chosen.arm(arm.rate_of))
        return {"rate": other["rate"], "sets": _with_rate(other["rate"])}
    if not needs_tuning(arm, place.chosen):
        (rate,) = place.chosen.rates(arm)
        return {"rate": rate, "sets": _with_rate(rate)}
    return dict(json.loads(_tuned(place, arm).read_text(encoding="utf-8")))


def is_tuned(place: Place, arm: Arm) -> bool:
    return not needs_tuning(arm, place.chosen) or _tuned(place, arm).is_file()


def _tuned(place: Place, arm: Arm) -> Path:
    return place.out / "rates" / f"{arm.slug}.json"


def _validated(place: Place, arm: Arm, sets: Mapping[str, Any], label: str) -> float:
    """Mean over people of the loss on their validation pictures with what each keeps."""
    path = place.out / "rates" / arm.slug / label
    done = path.with_name(f"{path.name}.json")
    if not done.is_file():
        results = played(place.chosen.recipe(arm, place.chosen.study.tuning_seed, sets, tuning=True), path)
        write_bytes(done, json.dumps(kept_loss(results)).encode())
        shutil.rmtree(path)
    return float(json.loads(done.read_text()))


def kept_loss(results: Mapping[str, Any]) -> float:
    """Mean over people of the held-out loss on their own pictures with what each keeps."""
    losses: dict[str, float] = {}
    for score in results["final"]:
        if score["test"] == "own" and (score["adapter"] == "personal" or score["client"] not in losses):
            losses[score["client"]] = score["loss"]
    return fmean(losses.values())


def _with_rate(rate: float) -> dict[str, Any]:
    return {"form": {"fit": {"rate": rate}}}


def _with(sets: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    from coterie.runs.plain import lay_over

    copied: dict[str, Any] = json.loads(json.dumps(sets))
    lay_over(copied, key, value)
    return copied


def spread(call: Callable[..., str], jobs: Sequence[tuple[Any, ...]], what: str, say: Say, workers: int) -> None:
    """Runs jobs in processes of one thread each, and says of each that is done how many are left and about how long.

    A single worker is this process itself.

    Raises:
        UserError: what a job raised; those that are done are committed.
    """
    if not jobs:
        return
    began = time.monotonic()

    def done(number: int, job: tuple[Any, ...], name: str) -> None:
        seed = f", seed {job[2]}" if len(job) > 2 else ""
        left = (time.monotonic() - began) / number * (len(jobs) - number)
        say(f"{what}: {number} of {len(jobs)}, {name}{seed}; about {left / 60:.0f} min left")

    if workers == 1:
        for number, job in enumerate(jobs, 1):
            done(number, job, call(*job))
        return
    context = multiprocessing.get_context("spawn")
    count = max(1, min(len(jobs), workers))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_quiet) as pool:
        waiting = {pool.submit(call, *job): job for job in jobs}
        try:
            for number, future in enumerate(as_completed(waiting), 1):
                done(number, waiting[future], future.result())
        except BaseException:
            for process in (pool._processes or {}).values():
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _quiet() -> None:
    """A worker's beginning. It ends with the process that started it, even a killed one: it holds its run's lock."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C the one who started it hears, and ends it
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    sys.stdout = sys.stderr
