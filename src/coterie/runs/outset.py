"""A run before its first round: what holds for all its exchanges, and the adapter that everybody begins from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coterie.core.adapter import Adapter, Layout, require_same_layout
from coterie.core.errors import UserError
from coterie.core.seeds import seed_for
from coterie.core.site import Facts
from coterie.core.split import Portions
from coterie.engines.devices import layouts_for
from coterie.engines.terms import WAVE, Terms
from coterie.models.peft_files import read_peft
from coterie.runs.build import header_of
from coterie.runs.folder import RunFolder
from coterie.runs.loop import Loop, Tell
from coterie.runs.recipe import Recipe


def terms_of(
    recipe: Recipe,
    backbone: str,
    layout: Layout,
    courier: Any,
    facts: Mapping[str, Facts],
    tell: Tell,
    portions: Portions | None = None,
) -> Terms:
    """What holds for all exchanges of a run."""
    together = max(1, recipe.engine.width) * max(1, recipe.engine.workers)  # clients in one pass of everybody
    return Terms(
        header=header_of(recipe, backbone), courier=courier,
        layouts=layouts_for(
            layout, {f.rank or 0 for f in facts.values()}, getattr(recipe.form, "aggregator", None), portions
        ),
        portions=portions,
        codec=recipe.codec, facts=facts,
        seed=recipe.seed, quorum=recipe.cohort.quorum, sealed=recipe.cohort.sealed, tell=tell,
        wave=together * -(-WAVE // together),  # no pass is half empty because a wave ends
        uplink=recipe.uplink,
        times={c: d.time(recipe.form.fit.steps) for c, d in recipe.devices.of(list(facts), recipe.seed).items()},
        reaches=recipe.devices.reaches(facts, recipe.seed),
    )  # fmt: skip


def loop_of(recipe: Recipe, terms: Terms, tests: Sequence[str], backbone: Mapping[str, Any], folder: RunFolder) -> Loop:
    """The loop of a run, at its beginning."""
    layout = terms.layouts[0]
    begin = layout.start(seed_for(recipe.seed, 0, "", "adapter"))
    if recipe.start:
        begin = start_adapter(recipe, layout.backbone)
        try:
            require_same_layout(layout, begin.layout)
        except UserError as error:
            raise UserError(f"start: {recipe.start}: {error}; see method.rank, method.alpha, method.targets") from error
    return Loop(recipe, folder, terms, begin, tuple(tests), backbone, terms.tell)


def start_adapter(recipe: Recipe, backbone: str | None = None) -> Adapter:
    """The adapter that a recipe's ``start`` names, of a backbone if one is given."""
    try:
        return read_peft(Path(recipe.start), backbone)
    except UserError as error:
        hint = "wanted a folder in PEFT's layout; make one of a LoRA file with: coterie import FILE --out FOLDER"
        raise UserError(f"start: {error}; {hint}") from error
