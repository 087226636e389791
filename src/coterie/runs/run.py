"""Plays a recipe in a folder: ``start`` and ``resume`` are what ``coterie run`` calls."""

from __future__ import annotations

import contextlib
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from coterie.core.allocator import most_used_bytes
from coterie.core.errors import Halted, UserError, said_of
from coterie.core.progress import Progress
from coterie.core.shelf import shelf_name
from coterie.data.population import Population
from coterie.data.shelf import holds, whose
from coterie.data.sources.studio import Studio
from coterie.data.table import Skipped
from coterie.engines.exchanges import QuorumLost
from coterie.engines.trampoline import run as trampoline
from coterie.models.shelves import makes
from coterie.runs.annotated import annotated_toml
from coterie.runs.crew import Crew, prepared
from coterie.runs.folder import RunFolder
from coterie.runs.forward import Forwarder
from coterie.runs.loop import Tell
from coterie.runs.outset import start_adapter
from coterie.runs.people import fixed_prompts, population_of
from coterie.runs.plain import as_plain
from coterie.runs.possible import require_possible
from coterie.runs.reading import control_of, make_recipe, read_recipe, with_whole_paths
from coterie.runs.recipe import Recipe, deciding, digest_of
from coterie.runs.resolve import require_cut, resolve
from coterie.runs.sink import Opening

HASTE = 2.0  # seconds that a run which was stopped waits for its sinks


def start(
    recipe: Recipe,
    path: Path,
    tell: Tell | None = None,
    progress: Progress | None = None,
    beside: Path | None = None,
    where: str = "",
) -> dict[str, Any]:
    """A new run in an empty folder.

    Args:
        recipe: as read; it is resolved here and written to the folder.
        path: of the run; must not be a run yet.
        tell: called with every event, beside the journal.
        progress: called with a kind of work, steps done and steps in all.
        beside: a finished run; where it scored the bare backbone on the same pictures, that is not done again.
        where: the recipe was read; begins what is wrong with it.

    Returns:
        What ``server/results.json`` holds.

    Raises:
        UserError: for anything a user can put right. Where that is found before anything was finished, the folder is as
            it was before, so that the same command can be given again.
    """
    folder = RunFolder(path)
    if folder.exists:
        raise UserError(f"{path}: there is a run already; go on with: coterie run --resume {path}")
    if path.is_dir() and {entry.name for entry in path.iterdir()} - {"server", "sites"}:
        raise UserError(f"{path}: this folder holds something else; choose an empty or a new one with --out DIR")
    studio = isinstance(recipe.data.source, Studio)
    table = None if studio else recipe.data.source.read(32)
    with said_of(where):
        people = population_of(recipe, 32, table)
    require_startable(recipe, people, where)
    count, prompts = len(people.clients), fixed_prompts(recipe, people)
    scored = any(len(client.held_out) for client in people.clients.values())
    told = noticed(recipe.data.source, people, table.skipped if table is not None else ())
    del people, table  # from here on pictures are where the clients are
    with nothing_left_of_mistakes(folder), contextlib.ExitStack() as stack:
        crew = Crew(stack, progress)
        with said_of(where):
            resolved, plan = resolve(recipe, count, crew.plan)
        if plan is not None and not scored:
            plan = plan.without("scoring")
        drawn = resolved.pictures.model_copy(update={"prompts": prompts})
        resolved = resolved.model_copy(update={"pictures": drawn})
        resolved = with_whole_paths(resolved)
        folder.lock()
        try:
            folder.write("recipe.toml", annotated_toml(resolved))
            folder.write_json("environment.json", environment())
            folder.journal("people", **told)
            if plan is not None:
                foreseen = {"peak": plan.peak, "phase": plan.phase, "memory": resolved.engine.memory}
                folder.journal("planned", **asdict(plan), **foreseen, device=resolved.engine.device)
        finally:
            folder.unlock()
        if tell is not None:
            tell("people", **told)
        if plan is not None and tell is not None:
            tell("planned", **asdict(plan), **foreseen, device=resolved.engine.device)
        return _go_on(resolved, path, tell, crew, beside)


def require_startable(recipe: Recipe, people: Population, where: str = "") -> None:
    """All that can be known of a run and of its control before the first round.

    Raises:
        UserError: beginning with where the recipe was read, and with ``control`` if that is what is wrong.
    """
    with said_of(where):
        _require_possible(recipe, people)
    if (control := control_of(recipe)) is not None:
        with said_of(f"{where}: control".removeprefix(": ")):
            same = (control.data, control.seed) == (recipe.data, recipe.seed)
            _require_possible(control, people if same else population_of(control, 32))


def _require_possible(recipe: Recipe, people: Population) -> None:
    if recipe.start:
        start_adapter(recipe)
    require_possible(recipe, people)
    if getattr(recipe.form, "splits_layers", False) and recipe.backbone.embedded:  # others are loaded to plan with
        require_cut(recipe, recipe.backbone.load(torch.float32, recipe.tokens))


@contextlib.contextmanager
def nothing_left_of_mistakes(folder: RunFolder) -> Iterator[None]:
    """Removes what a new run wrote, if it ends with a mistake of the user's before any round was finished.

    Such a run could not go on, for it would end there again. Of a part of the folder that lay there before, only the
    recipe is removed: without it the folder is no run.
    """
    before = {entry.name for entry in folder.path.iterdir()} if folder.path.is_dir() else None
    made = [path for path in (folder.path, *folder.path.parents) if not path.exists()]  # innermost first
    try:
        yield
    except (Halted, QuorumLost):  # with more room, or more answers, it can go on
        raise
    except UserError:
        if not folder.exists or folder.has_finished_work:
            raise
        with contextlib.suppress(UserError):  # another process runs there meanwhile: it is not ours
            folder.lock()
            for name in {"server", "sites"} - (before or set()):
                shutil.rmtree(folder.path / name, ignore_errors=True)
            (folder.server / "recipe.toml").unlink(missing_ok=True)
            for path in made:
                with contextlib.suppress(OSError):  # somebody put something else there meanwhile
                    path.rmdir()
            folder.unlock()
        raise


def noticed(source: Any, people: Population, skipped: Sequence[Skipped]) -> dict[str, Any]:
    """What a person should know of the pictures or documents before anything is trained."""
    clients = people.clients
    return {
        "clients": len(clients),
        "what": "documents" if holds(source) == "texts" else "pictures",
        "who": whose(source),
        "train": sum(len(client.train) for client in clients.values()),
        "held_out": sum(len(client.held_out) for client in clients.values()),
        "unscored": [name for name, client in clients.items() if not len(client.held_out)],
        "skipped": [[some.name, some.reason] for some in skipped],
        "hints": source.hints() if hasattr(source, "hints") else [],
    }


def resume(
    path: Path, tell: Tell | None = None, progress: Progress | None = None, beside: Path | None = None
) -> dict[str, Any]:
    """Plays what is left of a run, and of its control; a finished run is left as it is. ``beside``: see ``start``."""
    recipe = read_recipe(RunFolder(path).server / "recipe.toml")
    with contextlib.ExitStack() as stack:
        return _go_on(recipe, path, tell, Crew(stack, progress), beside)


def _go_on(recipe: Recipe, path: Path, tell: Tell | None, crew: Crew, beside: Path | None) -> dict[str, Any]:
    results = _play(recipe, path, "run", tell, crew, beside)
    control = control_of(recipe)
    if control is not None:
        _play(control, path / "control", "control", tell, crew, path)
    return results


def _play(recipe: Recipe, path: Path, arm: str, tell: Tell | None, crew: Crew, beside: Path | None) -> dict[str, Any]:
    folder = RunFolder(path)
    forwarder: Forwarder | None = None
    folder.lock()
    try:
        done = folder.read_json("results.json")
        if done is not None and digest_of(make_recipe(done["recipe"], "results.json")) == digest_of(recipe):
            return dict(done)
        if not folder.exists:
            folder.write("recipe.toml", annotated_toml(recipe))
            folder.write_json("environment.json", environment())

        def heard(event: str, **fields: Any) -> None:
            folder.journal(event, time=round(time.time(), 3), **fields)
            if tell is not None:
                tell(event, arm=arm, **fields)
            if forwarder is not None:
                forwarder.hear(event, fields)

        if recipe.sinks:
            forwarder = Forwarder(recipe.sinks, opening_of(recipe, folder, arm), heard)
        heard("started", rounds=recipe.rounds, form=shelf_name(recipe.form), recipe=digest_of(recipe))
        began = time.monotonic()
        loop, do = prepared(recipe, path, heard, crew)
        loop.bare = bare_scores(recipe, beside) if beside is not None else ()
        results: dict[str, Any] = trampoline(loop.play(), do)
        results |= {
            "recipe": deciding(recipe),  # whole: a digest would change with the first key that a later version adds
            "recipe_digest": digest_of(recipe),
            "form": shelf_name(recipe.form),
            "seed": recipe.seed,
            "rounds": recipe.rounds,
            "makes": makes(recipe.backbone),
            "backbone_digest": loop.terms.header.backbone,
            "backbone_parameters": loop.backbone["parameters"],
            "backbone_component": loop.backbone["component"],
            **({"context": loop.backbone["context"]} if "context" in loop.backbone else {}),
            "adapter_parameters": loop.start.layout.size,
            "seconds": round(time.monotonic() - began, 2),
        }
        folder.write_json("results.json", results)
        heard("finished", seconds=results["seconds"], peak=peak_bytes(recipe))
        if forwarder is not None:
            forwarder.finish(results)
            forwarder.close()
            forwarder = None
        return results
    finally:
        if forwarder is not None:
            with contextlib.suppress(UserError):  # a journal on a full disk: what stopped the run is said instead
                forwarder.close(patience=HASTE)
        folder.unlock()


def peak_bytes(recipe: Recipe) -> int | None:
    """The most memory that was really used so far: of the graphics card, or of this process; None with workers."""
    if recipe.engine.workers and recipe.engine.device != "cuda":
        return None
    return most_used_bytes(recipe.engine.device)


def opening_of(recipe: Recipe, folder: RunFolder, arm: str) -> Opening:
    """What sinks are told of a run: no caption, no wish, no path."""
    name = folder.path.resolve().name if arm == "run" else f"{folder.path.resolve().parent.name}-{arm}"
    settings: dict[str, str | int] = {
        "form": shelf_name(recipe.form), "rounds": recipe.rounds, "seed": recipe.seed,
        "backbone": shelf_name(recipe.backbone), "method": shelf_name(recipe.method),
        "source": shelf_name(recipe.data.source), "codec": shelf_name(recipe.codec), "recipe": digest_of(recipe),
    }  # fmt: skip
    kept = folder.read_json("sinks/key.json")
    if kept is None:
        kept = {"key": f"{re.sub('[^A-Za-z0-9-]+', '-', name)}-{secrets.token_hex(4)}"}
        folder.write_json("sinks/key.json", kept)
    return Opening(name, str(kept["key"]), -1, folder.server, settings)


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


def environment() -> dict[str, Any]:
    """What ran: versions and the machine's kind, nothing that names a person or a place."""
    packages = ("coterie", "torch", "diffusers", "transformers", "peft", "safetensors", "numpy", "bitsandbytes")
    versions = {}
    for name in packages:
        with contextlib.suppress(Exception):
            versions[name] = version(name)
    return {
        "python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
        "packages": versions, "implementation": sys.implementation.name,
    }  # fmt: skip
