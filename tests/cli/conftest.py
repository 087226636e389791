"""The tiny runs that commands look at."""

import pytest


@pytest.fixture(scope="session")
def tiny_runs(tiny, tmp_path_factory):
    """Finished runs that differ in one thing each, by what differs."""
    from coterie.runs.reading import read_recipe
    from coterie.runs.run import start

    root = tmp_path_factory.mktemp("tiny")
    more = {"first": [], "rate": ["form.fit.rate=0.01"], "seed": ["seed=1"], "backbone": ["backbone.seed=1"]}
    for name, sets in more.items():
        start(read_recipe(None, [*tiny, *sets]), root / name)
    return root
