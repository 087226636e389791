from dataclasses import dataclass

import pytest

from coterie.core.errors import UserError
from coterie.core.shelf import Problems, Shelf
from coterie.federation.shelves import AGGREGATORS, FORMS, GROUPINGS, KEEPINGS, SPLITS


def test_every_file_of_a_shelf_registers_its_own_name():
    shelves = {FORMS: 3, GROUPINGS: 6, SPLITS: 3, KEEPINGS: 3, AGGREGATORS: 3}
    for shelf, at_least in shelves.items():
        names = shelf.names()
        assert len(names) >= at_least
        for name in names:
            assert shelf[name].shelf_name == name
            assert shelf[name].__doc__


def test_a_wrong_name_gets_the_nearest_right_one():
    with pytest.raises(UserError, match="no form is called 'fedavgg'; did you mean 'fedavg'"):
        FORMS.build("fedavgg")


def test_a_wrong_key_deep_inside_is_named_with_its_path():
    with pytest.raises(Problems) as caught:
        FORMS.build({"name": "clustered", "grouping": {"split": {"flor": 0.2}}, "fit": {"stepz": 3}}, "form")
    found = dict(caught.value.items)
    assert found["form.grouping.split.flor"] == "unknown key; did you mean 'floor'?"
    assert found["form.fit.stepz"] == "unknown key; did you mean 'steps'?"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"fit": {"steps": -1}}, "form.fit.steps"),
        ({"fit": {"rate": "fast"}}, "form.fit.rate"),
        ({"aggregator": 3}, "form.aggregator"),
    ],
)
def test_an_impossible_value_names_its_key(settings, key):
    with pytest.raises(Problems) as caught:
        FORMS.build({"name": "fedavg", **settings}, "form")
    assert key in dict(caught.value.items)


def test_two_things_cannot_share_a_name():
    shelf = Shelf("coterie.federation.forms", "form")

    @shelf.register("x")
    @dataclass(frozen=True)
    class One:
        pass

    with pytest.raises(ValueError, match="twice"):

        @shelf.register("x")
        @dataclass(frozen=True)
        class Other:
            pass


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"name": "wishes", "floor": 0.2, "loner": 0.9, "most": 4}, {"split": {"floor": 0.2, "loner": 0.9, "most": 4}}),
        ({"name": "weights", "most": 4}, {"name": "weights", "split": {"floor": 0.05, "most": 4}}),
        ({"split": "kmeans", "floor": 0.2}, {"split": {"name": "kmeans", "floor": 0.2}}),
    ],
)
def test_keys_are_read_where_they_stood_before(old, new):
    """Recipes and run folders that were written before there were splits."""
    assert FORMS.build({"grouping": old}) == FORMS.build({"grouping": new})


def test_a_key_in_its_old_and_its_new_place_is_one_too_many():
    with pytest.raises(Problems, match="which is given too; take only that"):
        FORMS.build({"grouping": {"most": 3, "split": {"most": 4}}}, "form")
