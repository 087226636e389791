"""``coterie list``: runs in a folder, and what a recipe can name."""

import json
import re
from pathlib import Path

import coterie
from coterie.runs.offers import SHELVES, offered


def test_every_shelf_of_the_package_is_listed():
    root = Path(coterie.__file__).parent
    declared = {
        package for path in root.rglob("*.py") for package in re.findall(r'Shelf\("(coterie[.\w]+)"', path.read_text())
    }
    assert declared == {shown.shelf.package for shown in SHELVES.values()}


def test_every_thing_says_in_a_sentence_what_it_is():
    for kind in SHELVES:
        for row in offered(kind):
            assert 8 <= len(row["about"]) <= 200, (kind, row)


def test_forms_are_listed_with_what_they_take(typed):
    code, out, err = typed("list", "forms", "--format", "json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert (code, err) == (0, "")
    assert rows["fedavg"]["takes"] == "aggregator, keeping"
    assert rows["sequential"]["sealed"] == "no"
    assert rows["clustered"]["default"] == "yes"


def test_shelves_names_all_words(typed):
    code, out, _ = typed("list", "shelves")
    assert code == 0
    for kind in [*SHELVES, "profiles"]:
        assert kind in out
        assert typed("list", kind)[0] == 0


def test_a_word_that_is_nothing_is_one_line(typed):
    code, _, err = typed("list", "codec")
    assert code == 2
    assert err.strip().splitlines() == ["error: codec: no such folder, and nothing to list; did you mean 'codecs'?"]


def test_runs_are_listed(typed, tiny_runs):
    code, out, _ = typed("list", tiny_runs)
    assert code == 0
    assert "first" in out
