"""What a recipe comes down to on this machine."""

import json

import numpy as np
import pytest
from PIL import Image

from coterie.runs.people import population_of
from coterie.runs.reading import read_recipe
from coterie.runs.resolve import resolve


@pytest.mark.parametrize(
    ("share", "workers", "width"),
    [(1.0, 0, 6), (0.1, 0, 5), (0.1, 2, 5), (0.03, 0, 3), (0.01, 0, 1)],
    ids=["everybody, six at once", "ten, in two passes", "ten, five a worker", "three", "one"],
)
def test_the_bank_is_as_wide_as_a_rounds_cohort_needs(share, workers, width):
    sets = ["backbone.name=untrained", f"cohort.share={share}", f"engine.workers={workers}", "form.fit.batch=1"]
    resolved, plan = resolve(read_recipe(None, sets), 100)
    assert resolved.engine.width == plan.width == width


def test_wishes_of_other_kinds_are_read_from_columns_of_their_own(tmp_path):
    for client in ("ann", "ben"):
        (tmp_path / client).mkdir()
        Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / client / "a.png")
    rows = [
        {"file_name": "ann/a.png", "text": "x", "wish": "neon", "wish_named": "old", "wish_purpose": "for my bar"},
        {"file_name": "ben/a.png", "text": "y", "wish": "", "wish_purpose": ""},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = f"data.source={{name='image_folder',path='{tmp_path}'}}"
    recipe = read_recipe(None, [source, "data.column=client", "data.held_out=0"])
    clients = population_of(recipe, 8).clients
    assert clients["ann"].wishes == {"named": "neon", "purpose": "for my bar"}
    assert clients["ben"].wishes == {}
