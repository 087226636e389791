"""Plays a recipe in a folder: ``start`` and ``resume`` are what ``coterie run`` calls."""

from __future__ import annotations

import contextlib
import functools
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from coterie.core.adapter import Layout
from coterie.core.errors import UserError
from coterie.core.protocols import Facts
from coterie.core.seeds import seed_for
from coterie.core.shelf import shelf_name
from coterie.engines.cohort import Terms
from coterie.engines.inprocess import InProcess
from coterie.engines.trampoline import run as trampoline
from coterie.engines.workers import Staffed, Workers
from coterie.runs.build import Assembly, assemble, header_of, population_of, resolve
from coterie.runs.folder import RunFolder
from coterie.runs.loop import Loop, Tell
from coterie.runs.recipe import Recipe, annotated_toml, as_plain, control_of, digest_of, make_recipe, read_recipe

Progress = Callable[[str, int, int], None]


def start(
    recipe: Recipe, path: Path, tell: Tell | None = None, progress: Progress | None = None, beside: Path | None = None
) -> dict[str, Any]:
    """A new run in an empty folder.

    Args:
        recipe: as read; it is resolved here and written to the folder.
        path: of the run; must not be a run yet.
        tell: called with every event, beside the journal.
        progress: called with a kind of work, steps done and steps in all.
        beside: a finished run; where it scored the bare backbone on the same pictures, that is not done again.

    Returns:
        What ``server/results.json`` holds.

    Raises:
        UserError: for anything a user can put right.
    """
    folder = RunFolder(path)
    if folder.exists:
        raise UserError(f"{path}: there is a run already; go on with: coterie run --resume {path}")
    people = population_of(recipe, 32)
    resolved = resolve(recipe, len(people.clients))
    prompts = resolved.pictures.prompts or people.prompts
    resolved = resolved.model_copy(
        update={"pictures": resolved.pictures.model_copy(update={"prompts": tuple(prompts)})}
    )
    folder.lock()
    folder.write("recipe.toml", annotated_toml(resolved))
    folder.write_json("environment.json", environment())
    folder.unlock()
    return resume(path, tell, progress, beside)


def resume(
    path: Path, tell: Tell | None = None, progress: Progress | None = None, beside: Path | None = None
) -> dict[str, Any]:
    """Plays what is left of a run, and of its control; a finished run is left as it is. ``beside``: see ``start``."""
    folder = RunFolder(path)
    recipe = read_recipe(folder.server / "recipe.toml")
    results = _play(recipe, path, "run", tell, progress, beside)
    control = control_of(recipe)
    if control is not None:
        _play(control, path / "control", "control", tell, progress, path)
    return results


def _play(
    recipe: Recipe, path: Path, arm: str, tell: Tell | None, progress: Progress | None, beside: Path | None
) -> dict[str, Any]:
    folder = RunFolder(path)
    folder.lock()
    try:
        done = folder.read_json("results.json")
        if done is not None and done["recipe"] == digest_of(recipe):
            return dict(done)
        if not folder.exists:
            folder.write("recipe.toml", annotated_toml(recipe))
            folder.write_json("environment.json", environment())

        def heard(event: str, **fields: Any) -> None:
            folder.journal(event, time=round(time.time(), 3), **fields)
            if tell is not None:
                tell(event, arm=arm, **fields)

        heard("started", rounds=recipe.rounds, form=shelf_name(recipe.form), recipe=digest_of(recipe))
        began = time.monotonic()
        with playing(recipe, path, heard, progress) as (loop, do):
            loop.bare = bare_scores(recipe, beside) if beside is not None else ()
            results: dict[str, Any] = trampoline(loop.play(), do)
        results |= {
            "recipe": digest_of(recipe),
            "form": shelf_name(recipe.form),
            "seed": recipe.seed,
            "rounds": recipe.rounds,
            "backbone_digest": loop.terms.header.backbone,
            "backbone_parameters": loop.num_parameters,
            "adapter_parameters": loop.start.layout.size,
            "seconds": round(time.monotonic() - began, 2),
        }
        folder.write_json("results.json", results)
        heard("finished", seconds=results["seconds"])
        return results
    finally:
        folder.unlock()


def bare_scores(recipe: Recipe, beside: Path) -> list[dict[str, Any]]:
    """What a finished run says of the bare backbone, if a recipe would find the same numbers; else nothing."""
    other, results = RunFolder(beside), RunFolder(beside).read_json("results.json")
    if results is None or _scored(read_recipe(other.server / "recipe.toml")) != _scored(recipe):
        return []
    return [
        {**score, "loss": torch.tensor(score["levels"], dtype=torch.float64)}
        for score in results["history"]
        if score["adapter"] == "base"
    ]


def _scored(recipe: Recipe) -> dict[str, Any]:
    """All that decides the bare backbone's scores."""
    plain = as_plain(recipe)
    engine = {key: plain["engine"][key] for key in ("dtype", "tokens")}
    levels = recipe.evaluation.levels
    return {"engine": engine, "levels": levels, **{key: plain[key] for key in ("seed", "data", "backbone")}}


@contextlib.contextmanager
def playing(recipe: Recipe, path: Path, tell: Tell, progress: Progress | None = None) -> Iterator[tuple[Loop, Any]]:
    """The loop of a run and what does its work: this process, or workers that end with the block."""
    folder = RunFolder(path)
    if recipe.engine.workers == 0:
        parts = assemble(recipe, path, progress=progress)
        terms = terms_of(recipe, parts.backbone.digest, parts.layout, InProcess(parts.hosts), parts.facts, tell)
        yield loop_of(recipe, terms, tests_of(parts), parts.backbone.num_parameters, folder), parts.workshop.do
        return
    count = recipe.engine.workers
    with Workers(functools.partial(staff, as_plain(recipe), str(path), count), count, progress or _silent) as workers:
        facts = {c: Facts(**plain) for hello in workers.hellos for c, plain in hello["facts"].items()}
        terms = terms_of(
            recipe, workers.hellos[0]["backbone"], workers.layout, workers, dict(sorted(facts.items())), tell
        )
        hello = workers.hellos[0]
        yield loop_of(recipe, terms, hello["tests"], hello["num_parameters"], folder), workers.do


def staff(plain: Mapping[str, Any], path: str, count: int, number: int, progress: Progress) -> Staffed:
    """A worker's side of a run: every ``count``-th client, beginning with ``number``."""
    recipe = make_recipe(plain, "recipe.toml")
    parts = assemble(recipe, Path(path), lambda index: index % count == number, progress)
    facts = {c: {"num_examples": f.num_examples, "truth": f.truth} for c, f in parts.facts.items()}
    hello = {
        "facts": facts,
        "backbone": parts.backbone.digest,
        "num_parameters": parts.backbone.num_parameters,
        "tests": list(tests_of(parts)),
    }
    return Staffed(parts.workshop, parts.hosts, parts.layout, hello)


def tests_of(parts: Assembly) -> tuple[str, ...]:
    """Names of the test sets that every site has."""
    names = [set(host.belongings.tests) for host in parts.hosts.values()]
    return tuple(sorted(set.intersection(*names))) if names else ()


def terms_of(
    recipe: Recipe, backbone: str, layout: Layout, courier: Any, facts: Mapping[str, Facts], tell: Tell
) -> Terms:
    """What holds for all exchanges of a run."""
    return Terms(
        header=header_of(recipe, backbone), courier=courier, layouts=(layout,), codec=recipe.codec, facts=facts,
        seed=recipe.seed, quorum=recipe.cohort.quorum, sealed=recipe.cohort.sealed, tell=tell,
    )  # fmt: skip


def loop_of(recipe: Recipe, terms: Terms, tests: Sequence[str], num_parameters: int, folder: RunFolder) -> Loop:
    """The loop of a run, at its beginning."""
    begin = terms.layouts[0].start(seed_for(recipe.seed, 0, "", "adapter"))
    return Loop(recipe, folder, terms, begin, tuple(tests), num_parameters, terms.tell)


def _silent(kind: str, done: int, total: int) -> None:
    return None


def environment() -> dict[str, Any]:
    """What ran: versions and the machine's kind, nothing that names a person or a place."""
    packages = ("coterie", "torch", "diffusers", "transformers", "peft", "safetensors", "numpy")
    versions = {}
    for name in packages:
        with contextlib.suppress(Exception):
            versions[name] = version(name)
    return {
        "python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
        "packages": versions, "implementation": sys.implementation.name,
    }  # fmt: skip
