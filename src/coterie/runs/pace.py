"""About how long things take with a backbone: for the plan of a study, and for the time that a run has left."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.core.mixed import computes_in_bf16
from coterie.core.shelf import shelf_name
from coterie.models.shelves import makes
from coterie.runs.recipe import Recipe


@dataclass(frozen=True)
class Pace:
    """Seconds of one core.

    Attributes:
        begin: to begin a run and to end it, with all that is no work of the network.
        trained: for a picture in a training step, or a window of text.
        scored: for one at one noise level; a text has one.
        stepped: for one call of the network of a drawing, or one token of a text.
    """

    begin: float
    trained: float
    scored: float
    stepped: float


MEASURED = {"doodle": Pace(20.0, 0.029, 0.0058, 0.009), "scribe": Pace(20.0, 0.047, 0.020, 0.0024)}
IN_FLOAT32 = {"doodle": Pace(20.0, 0.057, 0.025, 0.026)}
"""Where an embedded backbone computes in float32 alone, as processors without bfloat16 do (measured with AVX2)."""


def is_measured(recipe: Recipe) -> bool:
    """Whether these seconds are the backbone's own."""
    return shelf_name(recipe.backbone) in MEASURED


def pace_of(recipe: Recipe) -> Pace:
    """The backbone's own, or that of the embedded one that makes the same: then only the proportions can be right."""
    like = "scribe" if makes(recipe.backbone) == "texts" else "doodle"
    asked = recipe.engine.dtype
    halved = asked == "bf16" or (asked == "auto" and computes_in_bf16("cpu"))
    known = MEASURED if halved else {**MEASURED, **IN_FLOAT32}
    return known.get(shelf_name(recipe.backbone), known[like])


def made_in(recipe: Recipe) -> float:
    """Seconds of one core for one drawing, of which guidance needs two calls a step, or for one text."""
    calls = recipe.texts.tokens if makes(recipe.backbone) == "texts" else 2 * recipe.pictures.steps
    return pace_of(recipe).stepped * calls
