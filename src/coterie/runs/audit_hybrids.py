"""Do mixes of clusters draw two styles at once, better than the best of the two alone? In every way of mixing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from coterie.bank.compose import WAYS, Mix, Way
from coterie.core.errors import UserError
from coterie.core.progress import Steps, unheard
from coterie.data.sources.studio import PROMPT_GROUPS, PROMPTS, Studio
from coterie.engines.disk import write_bytes
from coterie.evals.classifier import load_judge
from coterie.evals.hybrids import hybrid
from coterie.evals.pictures import noise_seed
from coterie.models.png import png_bytes, sheet
from coterie.runs.folder import RunFolder, open_run
from coterie.runs.generate import adapter_of
from coterie.runs.reading import read_recipe

FULL = "merge, both fully"  # the sum of two whole adapters instead of half of each


def audit_hybrids(path: Path, out: Path | None, draws: int = 2, progress: Steps = unheard) -> dict[str, Any]:
    """Draws and judges every pair of clusters of different styles.

    Args:
        path: of a finished run over the studio, whose styles the package's judges know.
        out: folder for a sheet of pictures of each pair; None writes none.
        draws: pictures of each prompt.
        progress: called with denoising steps done and in all.

    Returns:
        ``rows``, one for each pair and way with the two adapters alone among them; ``seed`` of the run, how many
        ``prompts``, and ``draws`` of each.

    Raises:
        UserError: if the run is of other pictures, or has no two clusters of different styles.
    """
    from coterie.bank.bank import MOST_ROWS
    from coterie.bank.denoise import Request, sample
    from coterie.bank.whole import bank_for
    from coterie.runs.build import load_backbone

    folder = open_run(path)
    recipe = read_recipe(folder.server / "recipe.toml")
    if not isinstance(recipe.data.source, Studio):
        raise UserError(f"{path}: the judges of style know the studio's looks only, and this run has other pictures")
    styles = cluster_styles(folder)
    pairs = list(combinations(sorted(styles, key=lambda name: styles[name]), 2))
    if not pairs:
        raise UserError(f"{path}: there are no two clusters of different styles to mix")
    backbone = load_backbone(recipe)
    adapters = {name: adapter_of(folder, name, backbone.digest) for name in styles}
    bank = bank_for(backbone, recipe.method.layout(backbone), 1, rows=recipe.engine.rows or MOST_ROWS)
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
    for i in range(0, len(keys) if out else 0, ways_each):
        shown = [list(pictures[: len(PROMPTS)]) for pictures in drawn[i : i + ways_each]]
        (a, b), names = keys[i][0], [styles.get(name, name) for _, name in keys[i : i + ways_each]]
        write_bytes(Path(out or "") / f"hybrids-{styles[a]}-{styles[b]}.png", png_bytes(sheet(shown, names=names)))
    return {"rows": rows, "seed": recipe.seed, "prompts": len(PROMPTS), "draws": draws}


def cluster_styles(folder: RunFolder) -> dict[str, str]:
    """The style that most members of each cluster have; of clusters of one style the largest only."""
    results = folder.results()
    of: dict[str, list[str]] = {}
    for client, cluster in sorted(results["clusters"].items()):
        of.setdefault(cluster, []).append(str(results["clients"][client]["truth"]))
    found: dict[str, str] = {}
    for cluster, truths in sorted(of.items(), key=lambda item: (-len(item[1]), item[0])):
        style = max(sorted(set(truths)), key=truths.count)
        if style not in found.values():
            found[cluster] = style
    return dict(sorted(found.items()))


def best_singles(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Of each pair of styles the single adapter that has more of both."""
    singles: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["way"] in row["pair"].split("+"):
            singles.setdefault(row["styles"], []).append(row)
    return {pair: max(two, key=lambda row: float(row["both"])) for pair, two in singles.items()}
