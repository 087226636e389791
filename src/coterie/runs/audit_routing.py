"""How well prompts pick adapters: the right group, none for prompts without a style, and what the mix is worth.

Only a simulation can say: it needs the groups that people really belong to. Nobody's own wish is in the centroids that
their prompts are compared with, so that each person is somebody who did not take part; who is alone in a group stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coterie.bank.bank import MOST_ROWS, Bank
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.progress import Steps, unheard
from coterie.evals.wishes import KINDS
from coterie.federation.routing import Q_MIN, centroids_of, route
from coterie.models.peft_files import read_peft
from coterie.runs.alike import at_rank, largest_rank, side_by_side
from coterie.runs.build import Assembly, assemble
from coterie.runs.folder import open_run
from coterie.runs.reading import read_recipe
from coterie.runs.routed import ROOT, comparable

CAPTIONS = 2  # of each person's held-out pictures, each put behind the wish, and once alone


@dataclass(frozen=True)
class _Prompt:
    client: str
    kind: str
    text: str


def audit_routing(path: Path, progress: Steps = unheard) -> dict[str, Any]:
    """Routes every person's wishes in other words, with and without a caption, and captions alone.

    Returns:
        ``rows``, one a kind of prompt: ``prompts`` in all, the shares that reached the ``right`` group, a ``wrong`` one
        and ``none``; of the bare model's held-out loss on the person's own pictures, the mean shares removed by the
        adapters that were ``routed`` and by the ``oracle``, the adapter of the person's own group. ``groups`` says
        which true group each cluster mostly holds. No words are in it.

    Raises:
        UserError: if the run is not finished, compared no wishes, or nobody knows the true groups.
    """
    folder = open_run(path)
    results, recipe = folder.results(), read_recipe(folder.server / "recipe.toml")
    if not results["wishes"]:
        raise UserError(f"{path}: this run compared no wishes; routing needs one like form.grouping.name = 'wishes'")
    truths = {client: known["truth"] for client, known in results["clients"].items()}
    if None in truths.values():
        raise UserError(f"{path}: the true groups are not known, so nobody can say which adapter is right")
    parts = assemble(recipe, path)
    wishes = {client: torch.tensor(numbers) for client, numbers in results["wishes"].items()}
    labels: Mapping[str, str] = results["clusters"]
    members = {name: [c for c in labels if labels[c] == name] for name in sorted(set(labels.values()))}
    groups = {name: Counter(truths[c] for c in own).most_common(1)[0][0] for name, own in members.items()}
    asked = _prompts(parts)
    vectors = comparable([prompt.text for prompt in asked], recipe, parts.backbone)
    chosen = []
    for prompt, vector in zip(asked, vectors, strict=True):
        alone = len(members[labels[prompt.client]]) == 1
        others = {c: wish for c, wish in wishes.items() if c != prompt.client or alone}
        chosen.append(route(vector, centroids_of(others, labels)).shares)
    worth = _worth(parts, folder.server / "adapters", labels, asked, chosen, progress)
    rows = []
    for kind in dict.fromkeys(prompt.kind for prompt in asked):
        mine = [i for i, prompt in enumerate(asked) if prompt.kind == kind]
        first = {i: next(iter(chosen[i]), None) for i in mine}
        right = sum(first[i] is not None and groups[str(first[i])] == truths[asked[i].client] for i in mine)
        none = sum(name is None for name in first.values())
        named = kind != "caption"
        rows.append({
            "kind": kind, "prompts": len(mine),
            "right": right / len(mine) if named else None,
            "wrong": (len(mine) - none - right) / len(mine) if named else None,
            "none": none / len(mine),
            **{way: _mean([worth[i][way] for i in mine if i in worth]) for way in ("routed", "oracle")},
        })  # fmt: skip
    single = [name for name, own in members.items() if len(own) == 1]
    return {"q_min": Q_MIN, "grouped_by": recipe.data.wish, "groups": groups, "alone": single, "rows": rows}


def _prompts(parts: Assembly) -> list[_Prompt]:
    found: list[_Prompt] = []
    people = parts.population.clients
    for kind in KINDS:
        said = {name: client.wishes[kind] for name, client in sorted(people.items()) if client.wishes.get(kind)}
        found += [_Prompt(name, kind, wish) for name, wish in said.items()]
        for name, wish in said.items():
            captions = dict.fromkeys(people[name].held_out.captions)
            found += [_Prompt(name, f"{kind} + caption", f"{wish} {c}") for c in list(captions)[:CAPTIONS]]
    for name, client in sorted(people.items()):
        captions = dict.fromkeys(client.held_out.captions)
        found += [_Prompt(name, "caption", caption) for caption in list(captions)[:CAPTIONS]]
    return found


def _worth(
    parts: Assembly, adapters: Path, labels: Mapping[str, str], asked: list[_Prompt],
    chosen: list[Mapping[str, float]], progress: Steps,
) -> dict[int, dict[str, float]]:  # fmt: skip
    """By prompt, shares of the bare model's loss on the person's own held-out pictures that each way removes."""
    read: dict[str, Adapter] = {p.name: read_peft(p, parts.backbone.digest) for p in sorted(adapters.iterdir())}
    bare = {ROOT: 1.0} if ROOT in read else {}
    mixes = [tuple(sorted((shares or bare).items())) for shares in chosen]
    made: dict[tuple[tuple[str, float], ...], Adapter | None] = {(): None}
    jobs: dict[tuple[str, tuple[tuple[str, float], ...]], EvalJob] = {}
    for prompt, mix in zip(asked, mixes, strict=True):
        own = parts.hosts[prompt.client].belongings.tests.get("own")
        if own is None or prompt.kind == "caption":
            continue
        for wanted in ((), mix, ((labels[prompt.client], 1.0),)):
            if wanted not in made:
                made[wanted] = side_by_side([(read[name], weight) for name, weight in wanted])
            jobs.setdefault((prompt.client, wanted), EvalJob(prompt.client, made[wanted], own))
    most = max((largest_rank(adapter) for adapter in made.values() if adapter is not None), default=1)
    parts.workshop.bank.close()
    rows = parts.recipe.engine.rows or MOST_ROWS
    bank = Bank(parts.backbone, at_rank(parts.layout, most), 1, rows=rows)
    try:
        losses = evaluate(bank, list(jobs.values()), progress)
    finally:
        bank.close()
    total = {key: float(loss.double().mean()) for key, loss in zip(jobs, losses, strict=True)}
    found = {}
    for i, (prompt, mix) in enumerate(zip(asked, mixes, strict=True)):
        if (base := total.get((prompt.client, ()))) is not None and prompt.kind != "caption":
            own_group = ((labels[prompt.client], 1.0),)
            ways = {"routed": mix, "oracle": own_group}
            found[i] = {way: 1 - total[prompt.client, wanted] / base for way, wanted in ways.items()}
    return found


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
