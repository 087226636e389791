"""Any form with any keeping and any grouping, and any grouping with any split: a round of all but the model."""

import itertools

import pytest

from coterie.core.errors import UserError
from coterie.federation.shelves import FORMS, GROUPINGS, KEEPINGS, SPLITS
from coterie.runs.compatible import require_early_groups, require_part_keeping, require_whole_adapters

SIZES = {"random": {"sizes": [2, 1]}, "given": {"groups": {"north": ["a0", "b1"], "south": ["a2"]}}}  # of three people
NEEDED = {"ifca": {"clusters": 2}}  # no more than there are people


def keys(shelf, name):
    return set(shelf[name].__dataclass_fields__)


def table():
    for form in FORMS.names():
        keepings = KEEPINGS.names() if "keeping" in keys(FORMS, form) else [None]
        groupings = GROUPINGS.names() if "grouping" in keys(FORMS, form) else [None]
        for keeping, grouping in itertools.product(keepings, groupings):
            split = (
                SPLITS.names()
                if grouping and keeping == keepings[0] and "split" in keys(GROUPINGS, grouping)
                else [None]
            )
            for cut in split:
                chosen = {"name": grouping, **SIZES.get(grouping, {}), **({"split": cut} if cut else {})}
                more = {**({"keeping": keeping} if keeping else {}), **({"grouping": chosen} if grouping else {})}
                yield form, {**more, **NEEDED.get(form, {})}


def possible(form, settings):
    """Refused in every recipe: factors that do nothing alone cannot be compared, nor what is not yet, and who has a
    part of the model cannot train all of it in every round."""
    try:
        built = FORMS.build({"name": form, **settings})
        require_whole_adapters(built, "")
        require_early_groups(built, "")
        require_part_keeping(built, "")
    except UserError:
        return False
    return True


ALL = list(table())
TABLE = [pair for pair in ALL if possible(*pair)]


def test_only_split_adapters_cannot_be_compared_nor_those_that_an_edge_would_wait_for():
    refused = [pair for pair in ALL if pair not in TABLE and pair[0] != "split"]
    assert {form for form, _ in refused} == {"clustered", "rooted", "hierarchical", "split_steps"}
    assert all(s["keeping"] == "split" or form == "hierarchical" for form, s in refused)
    assert all(form == "split_steps" or s["grouping"]["name"] in ("weights", "both") for form, s in refused)


def test_of_a_split_model_nothing_is_kept_but_what_is_made_at_the_end():
    assert {s["keeping"] for form, s in TABLE if form == "split"} == {"none", "finetune"}


def test_the_table_has_every_name():
    said = str(TABLE)
    for shelf in (FORMS, KEEPINGS, GROUPINGS, SPLITS):
        assert all(f"'{name}'" in said for name in shelf.names())


@pytest.mark.parametrize(("form", "settings"), TABLE, ids=[f"{f}-{'-'.join(map(str, s.values()))}" for f, s in TABLE])
def test_it_plays_a_round_and_everybody_keeps_something(world, form, settings):
    w = world(form, settings, clients=3, rounds=2 if form == "ifca" else 1)  # the first one parts its clusters
    results = w.play()
    assert not results["failures"]
    assert all(score["loss"] > 0 for score in results["final"])
    for client in w.targets:
        kept = w.path / "sites" / client / "adapters"
        assert (kept / "served").is_dir()
        assert (kept / "personal").is_dir() == bool(results["personal"][client])
    clustered = "grouping" in settings or form == "ifca"
    assert set(results["clusters"]) == (set(w.targets) if clustered else set())
