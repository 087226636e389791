"""Commands called as a person types them, and the tiny runs that they look at."""

import sys

import pytest

from coterie.__main__ import main


@pytest.fixture
def typed(monkeypatch, capsys):
    """Runs a command; returns its exit code, what it printed and what it complained."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["coterie", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(scope="session")
def tiny_runs(tiny, tmp_path_factory):
    """Finished runs that differ in one thing each, by what differs."""
    from coterie.runs.recipe import read_recipe
    from coterie.runs.run import start

    root = tmp_path_factory.mktemp("tiny")
    more = {"first": [], "rate": ["form.fit.rate=0.01"], "seed": ["seed=1"], "backbone": ["backbone.seed=1"]}
    for name, sets in more.items():
        start(read_recipe(None, [*tiny, *sets]), root / name)
    return root
