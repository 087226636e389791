"""Do mixes of clusters draw two styles at once, better than the best of the two alone? In every way of mixing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from coterie.bank.compose import WAYS, Mix, Way
from coterie.core.errors import UserError
from coterie.data.sources.studio import PROMPT_GROUPS, PROMPTS, Studio
from coterie.engines.disk import write_bytes
from coterie.evals.classifier import load_judge
from coterie.evals.hybrids import hybrid
from coterie.evals.pictures import noise_seed
from coterie.models.png import png_bytes, sheet
from coterie.runs.folder import RunFolder, open_run
from coterie.runs.generate import adapter_of
from coterie.runs.recipe import read_recipe

FULL = "merge, both fully"  # the sum of two whole adapters instead of half of each


def audit_hybrids(
    path: Path, out: Path, draws: int = 2, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Draws and judges every pair of clusters of different styles.

    Args:
        path: of a finished run over the studio, whose styles the package's judges know.
        out: folder for a sheet of pictures of each pair.
        draws: pictures of each prompt.
        progress: called with denoising steps done and in all.

    Returns:
        ``rows``, one for each pair and way with the two adapters alone among them; ``means``, one for each way over all
        pairs, with the pairs in which it scores higher than the better of the two alone.

    Raises:
        UserError: if the run is of other pictures, or has no two clusters of different styles.
    """
    from coterie.bank.bank import MOST_ROWS, Bank
    from coterie.bank.denoise import Request, sample
    from coterie.runs.build import load_backbone

    folder = open_run(path)
    recipe = read_recipe(folder.server / "recipe.toml")
    if not isinstance(recipe.data.source, Studio):
        raise UserError(f"{path}: the judges of style know the studio's looks only, and this run has other pictures")
    styles = cluster_styles(folder)
    pairs = [(a, b) for a, b in combinations(sorted(styles), 2) if styles[a] != styles[b]]
    if not pairs:
        raise UserError(f"{path}: there are no two clusters of different styles to mix")
    backbone = load_backbone(recipe)
    adapters = {name: adapter_of(folder, name, backbone.digest) for name in styles}
    bank = Bank(backbone, recipe.method.layout(backbone), 1, rows=recipe.engine.rows or MOST_ROWS)
    seed, requests, keys = noise_seed(recipe.seed), [], []
    for a, b in pairs:
        one, other = adapters[a], adapters[b]
        ways: dict[str, tuple[Mix, Way]] = {a: (((one, 1.0),), "merge"), b: (((other, 1.0),), "merge")}
        ways |= {way: (((one, 0.5), (other, 0.5)), way) for way in WAYS}
        ways[FULL] = (((one, 1.0), (other, 1.0)), "merge")
        for name, (mix, way) in ways.items():
            keys.append(((a, b), name))
            for draw in range(draws):
                for i, prompt in enumerate(PROMPTS):
                    at = seed + i + len(PROMPTS) * draw
                    requests.append(
                        Request(prompt, tuple(mix), at, recipe.pictures.steps, recipe.pictures.guidance, way)
                    )
    drawn = sample(bank, requests, progress=progress)
    drawn = drawn.reshape(len(keys), draws * len(PROMPTS), *drawn.shape[1:])
    style, subject = load_judge("style"), load_judge("subject")
    subjects = [PROMPT_GROUPS[prompt] for prompt in PROMPTS] * draws
    rows = []
    for ((a, b), name), pictures in zip(keys, drawn, strict=True):
        judged = hybrid(pictures, (styles[a], styles[b]), subjects, style, subject)
        rows.append({"pair": f"{a}+{b}", "styles": f"{styles[a]}+{styles[b]}", "way": name, **asdict(judged)})
    ways_each = len(keys) // len(pairs)
    for i in range(0, len(keys), ways_each):
        shown = [list(pictures[: len(PROMPTS)]) for pictures in drawn[i : i + ways_each]]
        (a, b), names = keys[i][0], [styles.get(name, name) for _, name in keys[i : i + ways_each]]
        write_bytes(out / f"hybrids-{styles[a]}-{styles[b]}.png", png_bytes(sheet(shown, names=names)))
    return {"rows": rows, "means": means(rows)}


def cluster_styles(folder: RunFolder) -> dict[str, str]:
    """The style that most members of each cluster have."""
    results = folder.read_json("results.json")
    if results is None:
        raise UserError(f"{folder.path}: not finished; go on with: coterie run --resume {folder.path}")
    of: dict[str, list[str]] = {}
    for client, cluster in sorted(results["clusters"].items()):
        of.setdefault(cluster, []).append(str(results["clients"][client]["truth"]))
    return {cluster: max(sorted(set(truths)), key=truths.count) for cluster, truths in sorted(of.items())}


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each way over all pairs; ``best single`` is the better one of each pair's two."""
    found = []
    best = list(_best_singles(rows).values())
    for way, better in beats_single(rows).items():
        found.append({**_mean(way, [row for row in rows if row["way"] == way]), "better": better})
    return [{**_mean("best single", best), "better": None}, *found]


def beats_single(rows: list[dict[str, Any]]) -> dict[str, int]:
    """In how many pairs each way scores higher than the better of the two adapters alone."""
    best = _best_singles(rows)
    return {
        way: sum(row["both"] > best[row["pair"]]["both"] for row in rows if row["way"] == way) for way in (*WAYS, FULL)
    }


def _best_singles(rows: list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    singles: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["way"] in row["pair"].split("+"):
            singles.setdefault(row["pair"], []).append(row)
    return {pair: max(two, key=lambda row: float(row["both"])) for pair, two in singles.items()}


def _mean(way: str, rows: list[Any]) -> dict[str, Any]:
    return {
        "way": way,
        "both": float(np.mean([row["both"] for row in rows])),
        "subject": float(np.mean([row["subject"] for row in rows])),
        "pairs": len(rows),
        "pictures": int(sum(row["pictures"] for row in rows)),
    }
