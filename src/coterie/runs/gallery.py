"""What the server draws or writes with what it publishes: base, clusters, hybrids, and progress after each round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from coterie.core.adapter import Adapter
from coterie.engines.trampoline import Work
from coterie.evals.pictures import Painter
from coterie.evals.texts import Narrator
from coterie.models.png import png_bytes
from coterie.models.shelves import makes
from coterie.runs.folder import RunFolder
from coterie.runs.recipe import Recipe

HYBRID_WEIGHTS = (0.75, 0.5, 0.25)
HYBRID_PROMPTS = 3
MOST_PAIRS = 6
Mix = tuple[tuple[Adapter, float], ...]


async def draw_all(
    folder: RunFolder, prompts: Sequence[str], adapters: Mapping[str, Adapter], seed: int, hybrids: bool
) -> None:
    """The fixed prompts by the bare backbone and by every published adapter, and mixes of pairs of clusters.

    Files: ``pictures/base/NN.png``, ``pictures/NAME/NN.png`` and, for a pair and a weight of its first,
    ``pictures/hybrid/A+B/75/NN.png``; of texts ``texts/base.json``, ``texts/NAME.json`` and so on.
    """
    rows: dict[str, Mix] = {"base": (), **{name: ((adapter, 1.0),) for name, adapter in adapters.items()}}
    await draw(folder, "", prompts, rows, seed)
    if hybrids:
        rows = {}
        for one, other in list(combinations(sorted(adapters), 2))[:MOST_PAIRS]:
            for weight in HYBRID_WEIGHTS:
                mix = ((adapters[one], weight), (adapters[other], 1 - weight))
                rows[f"hybrid/{one}+{other}/{round(100 * weight)}"] = mix
        await draw(folder, "", prompts[:HYBRID_PROMPTS], rows, seed)


async def draw_round(
    folder: RunFolder, round: int, prompts: Sequence[str], adapters: Mapping[str, Adapter], seed: int
) -> None:
    """The first two prompts by every published adapter: what a person watches while a run goes on."""
    rows: dict[str, Mix] = {name: ((adapter, 1.0),) for name, adapter in adapters.items()}
    await draw(folder, f"rounds/{round:03d}/", prompts[:2], rows, seed)


async def draw(folder: RunFolder, where: str, prompts: Sequence[str], rows: Mapping[str, Mix], seed: int) -> None:
    """Each prompt by each mix, a prompt always from the same seed: what is made differs by the adapter alone."""
    requests = [(p, mix, seed + i) for mix in rows.values() for i, p in enumerate(prompts)]
    if not requests:
        return
    made: NDArray[np.uint8] | Sequence[str] = await Work("sample", "server", requests)
    for number, name in enumerate(rows):
        own = made[number * len(prompts) : (number + 1) * len(prompts)]
        if isinstance(own, np.ndarray):
            for index, picture in enumerate(own):
                folder.write(f"pictures/{where}{name}/{index:02d}.png", png_bytes(picture))
        else:
            texts = [{"prompt": prompt, "text": text} for prompt, text in zip(prompts, own, strict=True)]
            folder.write_json(f"texts/{where}{name}.json", texts)


def artist_of(recipe: Recipe, prompts: Sequence[str] | None = None) -> Painter | Narrator:
    """Who draws or writes at the clients' sites; ``prompts`` are those of the recipe where none are given."""
    kind = Narrator if makes(recipe.backbone) == "texts" else Painter
    given = recipe.pictures.prompts if prompts is None else prompts
    return kind(tuple(given), recipe.evaluation.copies, recipe.seed)
