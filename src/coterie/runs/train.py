"""The one-person door: a recipe for folders that are to become one adapter each, trained side by side.

Folders of pictures or, where the backbone is a language model, of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.models.shelves import BACKBONES, makes
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
        folders: of pictures, or of documents.
        backbone: a name on the shelf, or where a pipeline of diffusers or a language model of transformers is.
        steps: for each adapter, in all.
        rank: of the adapters.
        batch: pictures in a step, or windows of text.
        triggers: words before all captions: ``NAME=WORD`` for one folder, ``WORD`` for all others.
        held_out: share of each folder's pictures or documents that is kept to measure on; 0 trains on all.
        sets: ``key=value`` settings of the recipe, laid over all that.
        buckets: whether pictures keep about their shapes, instead of being cut square.

    Raises:
        UserError: if a number is out of range, a setting is none, a folder holds nothing but folders, or documents are
            to have what only pictures can.
    """
    if steps < 1:
        raise UserError(f"--steps: {steps} steps train nothing; wanted at least 1")
    given = [setting(item) for item in sets]
    chosen = _backbone(backbone, given)
    data: dict[str, Any] = {"column": "client", "held_out": held_out}
    paths = [str(folder) for folder in folders]
    if makes(BACKBONES.build(chosen, "backbone")) == "texts":
        _require_no_captions(triggers, buckets)
        data["source"] = {"name": "text_folders", "paths": paths}
    else:
        data["source"] = {"name": "folders", "paths": paths, "triggers": trigger_words(triggers, folders)}
        data["crop"] = "buckets" if buckets else "square"
    rounds = min(ROUNDS, steps)
    fit = {"steps": -(-steps // rounds), "batch": batch, "rate": 1e-3}
    plain: dict[str, Any] = {
        "name": "lora",
        "rounds": rounds,
        "form": {"name": "local", "fit": fit},
        "backbone": chosen,
        "method": {"name": "lora", "rank": rank, "alpha": float(rank)},
        "data": data,
    }
    for key, value in given:
        if key.partition(".")[0] != "backbone":  # those are in it
            lay_over(plain, key, value)
    drawn = plain.setdefault("pictures", {})
    if isinstance(drawn, dict):  # a folder's captions have its trigger, which means nothing to another's adapter
        drawn.setdefault("own_prompts", not drawn.get("prompts"))
    recipe = make_recipe(plain, "train")
    if hasattr(recipe.data.source, "require_one_each"):
        recipe.data.source.require_one_each()
    return recipe


def _backbone(named: str, given: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Settings of the backbone that is named, with those that are laid over them."""
    chosen: dict[str, Any] = {"backbone": backbone_named(named)}
    for key, value in given:
        if key.partition(".")[0] == "backbone":
            lay_over(chosen, key, value)
    settings = chosen["backbone"]
    return settings if isinstance(settings, dict) else {"name": settings}


def _require_no_captions(triggers: Sequence[str], buckets: bool) -> None:
    if triggers:
        raise UserError(f"--trigger {triggers[0]}: a word before captions is for pictures; documents have no captions")
    if buckets:
        raise UserError("--buckets: is for pictures; documents have no shape")


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
