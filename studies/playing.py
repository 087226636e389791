"""Plays the runs of a study in two processes: rates first, then every arm and seed. What is finished stays finished."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from arms import ARMS, MOST_RATES, RATES, SEEDS, TUNING_SEED, Arm

from coterie.core.errors import UserError
from coterie.engines.disk import write_bytes
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import Recipe, digest_of
from coterie.runs.run import resume, start

TUNING = {
    "data": {"test": "validation"},
    "evaluation": {"copies": 0},
    "pictures": {"prompts": ["cat"], "steps": 1},
}


def folder_of(root: Path, arm: Arm, seed: int) -> Path:
    return root / "runs" / f"{arm.name.replace(' ', '-')}-seed-{seed}"


def played(recipe: Recipe, path: Path, beside: Path | None = None) -> dict[str, Any]:
    """The results of a recipe in a folder, played from wherever it was left."""
    try:
        results = start(recipe, path, beside=beside)
    except UserError as error:
        if "there is a run already" not in str(error):
            raise
        there = read_recipe(path / "server" / "recipe.toml")
        wanted = recipe.model_copy(update={"engine": there.engine, "pictures": there.pictures})
        if digest_of(there) != digest_of(wanted):
            raise UserError(f"{path}: holds a run of other settings; remove it, or choose another --out") from error
        results = resume(path, beside=beside)
    for leftover in [path / "server" / "checkpoints", *path.glob("sites/*/memory")]:
        shutil.rmtree(leftover, ignore_errors=True)  # several hundred megabytes, and nothing resumes a finished run
    return results


def kept_loss(results: dict[str, Any]) -> float:
    """Mean over people of the held-out loss on their own pictures with what each keeps."""
    losses: dict[str, float] = {}
    for score in results["final"]:
        if score["test"] == "own" and (score["adapter"] == "personal" or score["client"] not in losses):
            losses[score["client"]] = score["loss"]
    return sum(losses.values()) / len(losses)


def tune(arm: Arm, root: Path) -> dict[str, Any]:
    """The rate of an arm on validation subjects and another seed; the grid grows where its best is at an end."""
    found: dict[float, float] = {}
    grid = list(RATES)
    while grid and len(found) < MOST_RATES:
        rate = grid.pop(0)
        path = root / "rates" / arm.name.replace(" ", "-") / f"{rate:g}"
        done = path.parent / f"{path.name}.json"
        if done.is_file():
            found[rate] = json.loads(done.read_text())
        else:
            found[rate] = kept_loss(played(arm.recipe(TUNING_SEED, rate, TUNING), path))
            write_bytes(done, json.dumps(found[rate]).encode())
            shutil.rmtree(path)
        if not grid:
            best = min(found, key=found.__getitem__)
            grid = [best * 2] if best == max(found) else [best / 2] if best == min(found) else []
    best = min(found, key=found.__getitem__)
    return {"rate": best, "grid": {f"{rate:g}": loss for rate, loss in sorted(found.items())}}


def tune_all(root: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The chosen rate and the whole grid of every arm that has one."""
    path = root / "rates.json"
    if path.is_file():
        return dict(json.loads(path.read_text()))
    found = dict(_spread(_tune, [(arm.name, root) for arm in ARMS if arm.tuned], "rates", say))
    rates = {arm.name: found[arm.name] for arm in ARMS if arm.tuned}
    write_bytes(path, json.dumps(rates, indent=1).encode())
    return rates


def play_all(root: Path, rates: dict[str, Any], say: Callable[[str], None]) -> None:
    """Every arm with every seed."""
    rate = {arm.name: rates[arm.rate_of or arm.name]["rate"] if arm.trains else None for arm in ARMS}
    jobs = [(arm.name, seed, rate[arm.name], root) for seed in SEEDS for arm in ARMS]
    for _ in _spread(_play, jobs, "runs", say):
        pass


def _tune(name: str, root: Path) -> tuple[str, Any]:
    return name, tune(_named(name), root)


def _play(name: str, seed: int, rate: float | None, root: Path) -> tuple[str, int]:
    arm = _named(name)
    played(arm.recipe(seed, rate), folder_of(root, arm, seed), folder_of(root, ARMS[0], seed))
    return name, seed


def _named(name: str) -> Arm:
    return next(arm for arm in ARMS if arm.name == name)


def _spread(
    call: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], what: str, say: Callable[[str], None]
) -> Iterable[Any]:
    """Runs jobs on all cores, one thread each, telling each that is done."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), mp_context=context, initializer=_quiet) as pool:
        waiting = [pool.submit(call, *job) for job in jobs]
        try:
            for number, future in enumerate(as_completed(waiting), 1):
                result = future.result()
                say(f"{what}: {number} of {len(jobs)}, {result[0]}")
                yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _quiet() -> None:
    import torch

    torch.set_num_threads(1)
    sys.stdout = sys.stderr
