"""From finished runs to numbers: shares of the bare model's loss removed, what judges say, paired differences.

Nothing is trained here, and nothing is looked at that is not in a run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from arms import ARMS, HYPOTHESES, SEEDS, Arm, Hypothesis
from numpy.typing import NDArray
from playing import folder_of

from coterie.bank.evaluate import EvalJob, evaluate
from coterie.data.sources.studio import PROMPT_GROUPS, PROMPTS, population
from coterie.evals.classifier import load_judge
from coterie.models.peft_files import read_peft
from coterie.report.read import Arm as Run
from coterie.report.read import pictures_in, read_arm
from coterie.runs.build import assemble

BASE, CENTRAL = ARMS[0], next(arm for arm in ARMS if arm.changes.get("data", {}).get("pool") == "style")


def results_of(root: Path, rates: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers of the study, as JSON can hold them."""
    styles = {name: client.style for name, client in population().clients.items()}
    runs = {(arm.name, seed): read_arm(folder_of(root, arm, seed)) for arm in ARMS for seed in SEEDS}
    losses = {key: _losses(run) for key, run in runs.items()}
    for seed in SEEDS:
        losses[CENTRAL.name, seed] = _central_losses(folder_of(root, BASE, seed), folder_of(root, CENTRAL, seed))
    judged = {(arm.name, seed): _judged(arm, folder_of(root, arm, seed), styles) for arm in ARMS for seed in SEEDS}
    arms = []
    for arm in ARMS:
        own = {seed: _removed(losses[BASE.name, seed], losses[arm.name, seed], "own") for seed in SEEDS}
        style = {seed: _removed(losses[BASE.name, seed], losses[arm.name, seed], "style") for seed in SEEDS}
        scores = {
            measure: {seed: _people(judged[arm.name, seed], judged[BASE.name, seed], measure) for seed in SEEDS}
            for measure in ("style", "subject")
        }
        per_seed = [fmean(own[seed].values()) for seed in SEEDS]
        people = {name: fmean(own[seed][name] for seed in SEEDS) for name in styles}
        copied = [runs[arm.name, seed].copies for seed in SEEDS]
        arms.append(
            {
                "name": arm.name,
                "mean": fmean(per_seed),
                "worst": min(people.values()),
                "seeds": list(SEEDS),
                "per_seed": per_seed,
                "people": people,
                "of_style": [fmean(style[seed].values()) for seed in SEEDS],
                "levels": _levels(losses, arm.name),
                "style": [fmean(scores["style"][seed].values()) for seed in SEEDS],
                "by_style": _by_style(scores["style"], styles),
                "subject": [fmean(scores["subject"][seed].values()) for seed in SEEDS],
                "copies": sum(c.copies for found in copied for c in found.values()),
                "copies_of": sum(c.pictures for found in copied for c in found.values()),
                "copies_expected": sum(c.expected * c.pictures for found in copied for c in found.values()),
                "up_bytes": fmean(runs[arm.name, seed].meter.total(direction="up", purpose="train") for seed in SEEDS),
                "removed": {str(seed): own[seed] for seed in SEEDS},
                "judged": {m: {str(seed): scores[m][seed] for seed in SEEDS} for m in scores},
            }
        )
    by_name = {arm["name"]: arm for arm in arms}
    return {
        "study": "demo",
        "seeds": list(SEEDS),
        "backbone": runs[BASE.name, SEEDS[0]].digest or runs[BASE.name, SEEDS[0]].results["backbone_digest"],
        "rates": rates,
        "clusters": {str(seed): dict(runs["clustered", seed].clusters) for seed in SEEDS},
        "judges": _judges_on_real(),
        "arms": arms,
        "hypotheses": [verdict(hypothesis, by_name) for hypothesis in HYPOTHESES],
    }


def verdict(hypothesis: Hypothesis, arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A hypothesis with its paired differences and whether its criterion holds."""
    better, other = arms[hypothesis.better], arms[hypothesis.other]
    pairs = [_pairs(better, other, hypothesis.measure, seed) for seed in better["removed"]]
    per_seed = [fmean(pair.values()) for pair in pairs]
    mean = fmean(per_seed)
    ahead = sum(fmean(pair[name] for pair in pairs) > 0 for name in pairs[0])
    if hypothesis.no_worse:
        holds = mean >= -hypothesis.margin
    else:
        holds = mean >= hypothesis.margin and min(per_seed) > 0
        holds = holds and (hypothesis.people is None or ahead >= hypothesis.people)
    return {
        "name": hypothesis.name, "claim": hypothesis.claim, "better": hypothesis.better, "other": hypothesis.other,
        "measure": hypothesis.measure, "margin": hypothesis.margin, "no_worse": hypothesis.no_worse,
        "people_needed": hypothesis.people, "mean": mean, "per_seed": per_seed, "people_ahead": ahead,
        "people": len(pairs[0]), "supported": holds,
    }  # fmt: skip


def _pairs(better: Mapping[str, Any], other: Mapping[str, Any], measure: str, seed: str) -> dict[str, float]:
    """A person's difference in one seed."""
    mine, theirs = (
        (arm["removed"] if measure == "removed" else arm["judged"][measure])[seed] for arm in (better, other)
    )
    return {name: mine[name] - theirs[name] for name in mine}


Losses = dict[str, dict[str, tuple[float, ...]]]
"""By test set and person: mean loss in four groups of noise levels."""


def _losses(run: Run) -> Losses:
    """With what each person keeps in the end; the bare model where nothing is trained is a run of its own."""
    found: Losses = {}
    for score in sorted(run.final, key=lambda s: s.adapter == "personal"):  # personal last, so that it stands
        found.setdefault(score.test, {})[score.client] = score.levels
    return found


def _central_losses(base: Path, central: Path) -> Losses:
    """The adapters of whole styles on each person's own rows, which are those of every other arm."""
    from coterie.runs.reading import read_recipe

    parts = assemble(read_recipe(base / "server" / "recipe.toml"), base)
    jobs, keys = [], []
    for name, host in parts.hosts.items():
        style = parts.population.clients[name].style
        adapter = read_peft(central / "sites" / str(style) / "adapters" / "personal", parts.backbone.digest)
        for test, rows in host.belongings.tests.items():
            jobs.append(EvalJob(name, adapter, rows))
            keys.append((test, name))
    found: Losses = {}
    levels = parts.recipe.evaluation.levels
    for (test, name), losses in zip(keys, evaluate(parts.workshop.bank, jobs), strict=True):
        by_level = losses.double().view(-1, levels).mean(0).view(4, -1).mean(1)
        found.setdefault(test, {})[name] = tuple(by_level.tolist())
    return found


def _removed(base: Losses, arm: Losses, test: str) -> dict[str, float]:
    return {name: 1 - fmean(levels) / fmean(base[test][name]) for name, levels in sorted(arm[test].items())}


def _levels(losses: Mapping[tuple[str, int], Losses], arm: str) -> list[float]:
    """Share removed in four groups of noise levels, over people and seeds."""
    shares = []
    for level in range(4):
        base = [fmean(v[level] for v in losses[BASE.name, seed]["own"].values()) for seed in SEEDS]
        mine = [fmean(v[level] for v in losses[arm, seed]["own"].values()) for seed in SEEDS]
        shares.append(1 - fmean(mine) / fmean(base))
    return shares


Judged = dict[str, dict[str, float]]
"""By measure and person: share of the drawn prompts that the judge gives to the right class."""


def _judged(arm: Arm, path: Path, styles: Mapping[str, str | None]) -> Judged:
    found: Judged = {"style": {}, "subject": {}}
    for name, style in styles.items():
        drawn = np.stack(pictures_in(path / "sites" / (str(style) if arm is CENTRAL else name) / "pictures" / "final"))
        found["style"][name] = load_judge("style").accuracy(drawn, [str(style)] * len(drawn))
        found["subject"][name] = load_judge("subject").accuracy(drawn, [PROMPT_GROUPS[prompt] for prompt in PROMPTS])
    return found


def _people(arm: Judged, base: Judged, measure: str) -> dict[str, float]:
    """The style score is what is gained over the bare model; agreement on the subject is as it is."""
    return {name: share - (base["style"][name] if measure == "style" else 0) for name, share in arm[measure].items()}


def _by_style(scores: Mapping[int, Mapping[str, float]], styles: Mapping[str, str | None]) -> dict[str, float]:
    return {
        str(style): fmean(score for found in scores.values() for name, score in found.items() if styles[name] == style)
        for style in sorted(set(map(str, styles.values())))
    }


def _judges_on_real() -> dict[str, Any]:
    """How often the judges are right on the people's real held-out pictures."""
    pixels: dict[str, list[NDArray[np.uint8]]] = {}
    groups: dict[str, list[str]] = {}
    for client in population().clients.values():
        pixels.setdefault(str(client.style), []).extend(client.held_out.pixels)
        groups.setdefault(str(client.style), []).extend(client.held_out.columns["group"])
    known = load_judge("subject").classes
    return {
        "style": {s: load_judge("style").accuracy(np.stack(p), [s] * len(p)) for s, p in sorted(pixels.items())},
        "subject": {
            s: load_judge("subject").accuracy(np.stack(p), groups[s])
            for s, p in sorted(pixels.items())
            if set(groups[s]) <= set(known)
        },
    }
