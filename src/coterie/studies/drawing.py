"""What an arm draws for the judges: the same prompts and the same noise in every arm, with what each person keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coterie.bank.bank import MOST_ROWS
from coterie.bank.denoise import Request, sample
from coterie.bank.whole import bank_for
from coterie.core.seeds import seed_for
from coterie.models.peft_files import read_peft
from coterie.runs.build import load_backbone
from coterie.runs.folder import RunFolder
from coterie.runs.generate import kept_at
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import Recipe
from coterie.studies.cast import cast_of, people_of
from coterie.studies.chosen import Chosen
from coterie.studies.judges import Real

Pixels = NDArray[np.uint8]
APART = 4  # pictures of a person who is reported apart
FILE = "drawn.npz"


def orders(chosen: Chosen, real: Real, seed: int) -> dict[str, list[tuple[str, str, int, int]]]:
    """By look, or ``apart NAME``: who draws which prompt from which noise, and the row of its picture.

    The prompts of a look are captions of its held-out pictures that nobody holds; its people draw them in turn. Where
    more are wanted than there are, they come again with other noise.
    """
    styles, found = cast_of(chosen).looks, {}
    for look, table in real.held_out.items():
        people = [name for name, style in styles.items() if style == look]
        order = np.random.default_rng(0).permutation(len(table)).tolist()
        first = seed_for(seed, 0, look, "study") % 2**31
        found[look] = [
            (people[i % len(people)], table.captions[order[i % len(order)]], first + i, order[i % len(order)])
            for i in range(chosen.setting.samples)
        ]
    source = people_of(chosen)
    for name in source.apart():
        captions = list(dict.fromkeys(one.caption for one in source.shares()[name] if one.held))
        first = seed_for(seed, 0, name, "study") % 2**31
        found[f"apart {name}"] = [(name, captions[i % len(captions)], first + i, -1) for i in range(APART)]
    return found


def drawn(chosen: Chosen, real: Real, run: Path, seed: int) -> dict[str, Pixels]:
    """The pictures of a run ``(n, side, side, 3)`` by look, drawn now if they were not yet."""
    path = run / FILE
    if path.is_file():
        with np.load(path) as opened:
            return {key: opened[key] for key in opened.files}
    recipe = read_recipe(RunFolder(run).server / "recipe.toml")
    found = _draw(chosen, real, run, recipe, seed)
    part = path.with_name("part.npz")
    np.savez_compressed(part, **found)  # type: ignore[arg-type]
    part.replace(path)
    return found


def _draw(chosen: Chosen, real: Real, run: Path, recipe: Recipe, seed: int) -> dict[str, Pixels]:
    backbone = load_backbone(recipe)
    bank = bank_for(backbone, recipe.method.layout(backbone), 1, rows=recipe.engine.rows or MOST_ROWS)
    people = people_of(chosen).described()[1]
    told = recipe.data.prompt == "wish"
    wanted = orders(chosen, real, seed)
    mixes, before = {}, {}
    for name in {person for rows in wanted.values() for person, *_ in rows}:
        folder = kept_at(run / "sites" / name)
        mixes[name] = () if folder is None else ((read_peft(folder, backbone.digest), 1.0),)
        wish = people[name].wishes.get(recipe.data.wish, "")
        before[name] = f"{wish} " if told and wish else ""
    steps, guidance = chosen.setting.drawing_steps, recipe.pictures.guidance
    requests = [
        Request(before[name] + prompt, mixes[name], noise, steps, guidance)
        for rows in wanted.values()
        for name, prompt, noise, _ in rows
    ]
    pictures, found, at = sample(bank, requests), {}, 0
    for key, rows in wanted.items():
        found[key] = pictures[at : at + len(rows)]
        at += len(rows)
    return found
