"""What is left to do when all rounds are done, step by step, and about how much of it each step is."""

from __future__ import annotations

from typing import Any

from coterie.runs.budget import sharing
from coterie.runs.gallery import HYBRID_PROMPTS, HYBRID_WEIGHTS, MOST_PAIRS
from coterie.runs.pace import made_in, pace_of
from coterie.runs.recipe import Recipe

LEAST = 0.5  # seconds of every step: files are written, and something is read


def last_steps(recipe: Recipe, people: int, published: int, scored: int) -> dict[str, float]:
    """Share of each step in what is left, in their order; ``Loop.finish`` takes them.

    Args:
        recipe: resolved.
        people: who finish.
        published: adapters of the server.
        scored: held-out examples by noise levels that are left to score.

    Returns:
        ``keeping``: each makes what it keeps; ``scoring`` of that; ``people``: each draws with it; ``copies``: each
        draws held-out captions and compares; ``server``: the fixed prompts with everything published. Their sum is one.
    """
    form: Any = recipe.form
    pace, drawing, prompts = pace_of(recipe), made_in(recipe), len(recipe.pictures.prompts)
    steps = sharing(form, recipe.rounds).end
    pairs = min(MOST_PAIRS, published * (published - 1) // 2) if recipe.pictures.hybrids else 0
    mixed = pairs * len(HYBRID_WEIGHTS) * min(prompts, HYBRID_PROMPTS)
    seconds = {
        "keeping": pace.trained * people * steps * form.fit.batch,
        "scoring": pace.scored * scored,
        "people": drawing * people * max(1, prompts) if recipe.pictures.people else 0.0,
        "copies": drawing * people * recipe.evaluation.copies,
        "server": drawing * ((1 + published) * prompts + mixed),
    }
    whole = sum(seconds.values()) + LEAST * len(seconds)
    return {step: (some + LEAST) / whole for step, some in seconds.items()}
