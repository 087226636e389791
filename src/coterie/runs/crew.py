"""Who does the work of a run: this process, or workers that its control shares."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from coterie.bank.memory import Plan
from coterie.core.adapter import Layout
from coterie.core.allocator import give_back_freed_memory
from coterie.core.progress import Progress, unheard
from coterie.core.site import Facts
from coterie.core.split import Portions
from coterie.engines.inprocess import InProcess
from coterie.engines.worker import Staffed
from coterie.engines.workers import Workers
from coterie.models.backbone import Backbone, Writes
from coterie.runs.build import Assembly, assemble
from coterie.runs.folder import RunFolder
from coterie.runs.loop import Loop, Tell
from coterie.runs.outset import loop_of, terms_of
from coterie.runs.plain import as_plain
from coterie.runs.reading import make_recipe
from coterie.runs.recipe import Recipe
from coterie.runs.resolve import plan_of


class Crew:
    """The workers of a run and its control, started when first needed: starting them takes longer than a round.

    Args:
        stack: ends them when it is left.
        progress: called with a kind of work, steps done and steps in all.
    """

    def __init__(self, stack: contextlib.ExitStack, progress: Progress | None = None) -> None:
        self.stack, self.progress = stack, progress or unheard
        self._workers: dict[int, Workers] = {}

    def workers(self, recipe: Recipe) -> Workers:
        """As many as a recipe wants."""
        count = recipe.engine.workers
        if count not in self._workers:
            libraries = getattr(recipe.backbone, "libraries", ())
            self._workers[count] = self.stack.enter_context(Workers(staff, count, self.progress, libraries))
        return self._workers[count]

    def plan(self, recipe: Recipe, num_clients: int) -> Plan:
        """``plan_of``, where the backbone is to be loaded anyway."""
        if not recipe.engine.workers:
            return plan_of(recipe, num_clients)
        return Plan(**self.workers(recipe).ask({"recipe": as_plain(recipe), "clients": num_clients}))


def prepared(recipe: Recipe, path: Path, tell: Tell, crew: Crew) -> tuple[Loop, Any]:
    """The loop of a run and what does its work: this process, or the crew's workers."""
    folder = RunFolder(path)
    if recipe.engine.workers == 0:
        parts = assemble(recipe, path, progress=crew.progress, tell=tell)
        terms = terms_of(
            recipe, parts.backbone.digest, parts.layout, InProcess(parts.hosts), parts.facts, tell, parts.portions
        )
        return loop_of(recipe, terms, tests_of(parts), about(parts.backbone), folder), parts.workshop.do
    count, workers = recipe.engine.workers, crew.workers(recipe)
    hellos = workers.begin({"recipe": as_plain(recipe), "path": str(path), "count": count})
    facts = {c: Facts(**plain) for hello in hellos for c, plain in hello["facts"].items()}
    hello = hellos[0]
    portions = Portions(*map(Layout.from_plain, hello["portions"])) if hello["portions"] else None
    terms = terms_of(recipe, hello["backbone"], workers.layout, workers, dict(sorted(facts.items())), tell, portions)
    tests = sorted({name for hello in hellos for name in hello["tests"]})
    return loop_of(recipe, terms, tests, hello["about"], folder), workers.do


def staff(task: Mapping[str, Any], number: int, progress: Progress) -> Staffed | Mapping[str, Any]:
    """A worker's side of a run: every ``count``-th client, beginning with ``number``. Or how wide its bank may be."""
    recipe = make_recipe(task["recipe"], "recipe.toml")
    if "clients" in task:
        plan = plan_of(recipe, task["clients"])
        give_back_freed_memory()  # the model that was planned with, before it is loaded again
        return asdict(plan)
    count = task["count"]
    parts = assemble(recipe, Path(task["path"]), lambda index: index % count == number, progress)
    facts = {c: asdict(f) for c, f in parts.facts.items()}
    hello = {
        "facts": facts,
        "backbone": parts.backbone.digest,
        "about": about(parts.backbone),
        "tests": list(tests_of(parts)),
        "portions": [p.as_plain() for p in (parts.portions.client, parts.portions.server)] if parts.portions else [],
    }
    return Staffed(parts.workshop, parts.hosts, parts.layout, hello)


def about(backbone: Backbone) -> dict[str, Any]:
    """What the results say of the frozen model."""
    context = {"context": cast(Writes, backbone).context} if backbone.makes == "texts" else {}
    return {"parameters": backbone.num_parameters, "component": backbone.component, **context}


def tests_of(parts: Assembly) -> tuple[str, ...]:
    """Names of the test sets that there are; a site with none of that name is not scored on it."""
    return tuple(sorted({name for host in parts.hosts.values() for name in host.belongings.tests}))
