"""Who holds what: nobody shares a picture, and no held-out subject was learned by anybody."""

import pytest

from coterie.core.errors import UserError
from coterie.data.sources.people import People


@pytest.fixture
def people(recipe, data):
    return People(recipe.with_name("people.toml"), data, train=4, held_out=3)


def test_everybody_has_so_many_pictures_of_its_looks_and_all_wishes(people):
    table = people.read(16)
    assert len(table) == 5 * 7
    rows = list(zip(*(table.columns[k] for k in ("person", "style", "split")), strict=True))
    assert rows.count(("ann", "red", "train")) == 4
    assert rows.count(("ann", "red", "held-out")) == 3
    assert rows.count(("eve", "red and dots", "train")) == 4
    assert set(table.columns["wish_purpose"]) == {f"For my {x}." for x in ("door", "car", "tent", "boat", "shop")}
    assert table.pixels.shape == (35, 16, 16, 3)


def test_no_picture_has_two_holders_and_no_subject_is_on_both_sides(people):
    table = people.read(16)
    held = {c for c, split in zip(table.captions, table.columns["split"], strict=True) if split == "held-out"}
    assert not held & {c for c, split in zip(table.captions, table.columns["split"], strict=True) if split == "train"}
    shares = [(one.set, one.index) for rows in people.shares().values() for one in rows]
    assert len(set(shares)) == len(shares)
    rest = people.rest(16)
    learned = {(one.set, one.caption) for rows in people.shares().values() for one in rows if not one.held}
    assert not learned & set(zip(rest.columns["style"], rest.captions, strict=True))
    assert sum(bool(holder) for holder in rest.columns["holder"]) == 5 * 3
    assert set(people.rest(16, held_out_only=True).columns["split"]) == {"held-out"}


def test_fewer_people_hold_what_they_always_held(people):
    from dataclasses import replace

    some = replace(people, each=1).read(16)
    assert set(some.columns["person"]) == {"ann", "cat", "eve"}
    everybody = people.read(16)
    for name in ("ann", "eve"):
        mine = [c for c, p in zip(some.captions, some.columns["person"], strict=True) if p == name]
        assert mine == [c for c, p in zip(everybody.captions, everybody.columns["person"], strict=True) if p == name]


def test_a_leaning_is_most_of_what_somebody_holds(people):
    mine = [one.group for one in people.shares()["cat"] if not one.held]
    assert mine.count("odd") >= 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('sets = ["red"]', 'sets = ["rad"]', "no set is called 'rad'; did you mean 'red'?"),
        ('group = "{group}"', 'group = "{gruop}"', "has no column 'gruop'; did you mean 'group'?"),
        ("leaning", "leening", "people.cat.leening: unknown key; did you mean 'leaning'?"),
        ("held = 0.4", "held = 4", "held: 4 is not above 0 and below 1"),
        ("red.parquet", "read.parquet", "no such file; say where the data lies with --data DIR"),
        ("held = 0.4", "", "people.ben: red has 5 pictures to learn from for 24"),
        ("[sets.red]", "[sets.red", "not TOML"),
    ],
)
def test_mistakes_are_one_line(people, old, new, said):
    from dataclasses import replace

    text = people.file.read_text()
    assert old in text
    people.file.write_text(text.replace(old, new))
    with pytest.raises(UserError) as error:
        replace(people, train=24 if new == "" else 4).read(16)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
