"""The one-person door: a recipe for folders that are to become one adapter each, all trained in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.data.sources.folders import require_no_shelves
from coterie.runs.exchange import backbone_named
from coterie.runs.plain import lay_over, setting
from coterie.runs.reading import make_recipe
from coterie.runs.recipe import Recipe

ROUNDS = 4  # pauses in which losses are measured, pictures drawn and everything saved


def training_recipe(
    folders: Sequence[Path], backbone: str = "doodle", steps: int = 200, rank: int = 8, batch: int = 4,
    triggers: Sequence[str] = (), held_out: float = 0.1, sets: Sequence[str] = (), buckets: bool = False,
) -> Recipe:  # fmt: skip
    """Nothing is shared and nothing sent: the form ``local``, with a client for each folder.

    Args:
        folders: of pictures.
        backbone: a name on the shelf, or where a pipeline of diffusers is.
        steps: for each adapter, in all.
        rank: of the adapters.
        batch: pictures in a step.
        triggers: words before all captions: ``NAME=WORD`` for one folder, ``WORD`` for all others.
        held_out: share of each folder's pictures that is kept to measure on; 0 trains on all.
        sets: ``key=value`` settings of the recipe, laid over all that.
        buckets: whether pictures keep about their shapes, instead of being cut square.

    Raises:
        UserError: if a number is out of range, a setting is none, or a folder holds nothing but folders of pictures.
    """
    if steps < 1:
        raise UserError(f"--steps: {steps} steps train nothing; wanted at least 1")
    require_no_shelves(folders)
    rounds = min(ROUNDS, steps)
    fit = {"steps": -(-steps // rounds), "batch": batch, "rate": 1e-3}
    plain: dict[str, Any] = {
        "name": "lora",
        "rounds": rounds,
        "form": {"name": "local", "fit": fit},
        "backbone": backbone_named(backbone),
        "method": {"name": "lora", "rank": rank, "alpha": float(rank)},
        "data": {
            "source": {
                "name": "folders",
                "paths": [str(f) for f in folders],
                "triggers": trigger_words(triggers, folders),
            },
            "column": "client",
            "held_out": held_out,
            "crop": "buckets" if buckets else "square",
        },
    }
    for item in sets:
        lay_over(plain, *setting(item))
    drawn = plain.setdefault("pictures", {})
    if isinstance(drawn, dict):  # a folder's captions have its trigger, which means nothing to another's adapter
        drawn.setdefault("own_prompts", not drawn.get("prompts"))
    return make_recipe(plain, "train")


def trigger_words(given: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Triggers by folder from ``NAME=WORD`` and, for all that have none, a bare ``WORD``.

    Raises:
        UserError: if there are two bare words, or a word cannot be seen.
    """
    words: dict[str, str] = {}
    for item in given:
        word = item.partition("=")[2] if "=" in item else item
        if not word.strip() or not word.isprintable():
            why = "has characters that cannot be printed" if word.strip() else "is empty"
            raise UserError(f"--trigger {item!r}: the word {why}; wanted WORD or NAME=WORD, like ann=sks")
    bare = [item for item in given if "=" not in item]
    if len(bare) > 1:
        raise UserError(f"--trigger {bare[1]}: only one word can be for all folders; wanted NAME=WORD")
    for word in bare:
        words = {folder.resolve().name: word.strip() for folder in folders}
    for item in given:
        name, sign, word = item.partition("=")
        if sign:
            words[name] = word.strip()
    return words
