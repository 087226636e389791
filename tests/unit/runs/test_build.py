"""What a recipe comes down to on this machine."""

import pytest

from coterie.runs.build import resolve
from coterie.runs.recipe import read_recipe


@pytest.mark.parametrize(
    ("share", "workers", "width"),
    [(1.0, 0, 6), (0.1, 0, 5), (0.1, 2, 5), (0.03, 0, 3), (0.01, 0, 1)],
    ids=["everybody, six at once", "ten, in two passes", "ten, five a worker", "three", "one"],
)
def test_the_bank_is_as_wide_as_a_rounds_cohort_needs(share, workers, width):
    sets = ["backbone.name=untrained", f"cohort.share={share}", f"engine.workers={workers}", "form.fit.batch=1"]
    resolved, plan = resolve(read_recipe(None, sets), 100)
    assert resolved.engine.width == plan.width == width
