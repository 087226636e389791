import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from coterie.data.check import check, distances
from coterie.data.population import ClientData, Population, as_table, mirrored
from coterie.data.sheet import sheet
from coterie.data.table import Skipped, Table


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 200, (4, 32, 32, 3), dtype=np.uint8)


def test_counts_captions_and_skips(pixels):
    columns = {"person": ("bo", "ann", "bo", "bo")}
    found = check(Table(pixels, ("a cup", "hat", "a very old hat", "hat"), columns, (Skipped("x.png", "no caption"),)))
    assert found.num_pictures == 4
    assert found.per_client == {"ann": 1, "bo": 3}
    assert found.per_split == {}
    assert found.caption_words == (1, 2, 4)
    assert found.repeated_captions == (("hat", 2),)
    assert found.skipped == (Skipped("x.png", "no caption"),)
    assert found.near_duplicates == ()


def test_finds_a_brighter_copy_only_across_the_split(pixels):
    pixels[3] = pixels[0] + 40
    pixels[2] = pixels[1]
    split = {"split": ("train", "train", "train", "test")}
    (pair,) = check(Table(pixels, ("a", "b", "c", "d"), split)).near_duplicates
    assert (pair.first, pair.second) == (0, 3)
    assert pair.distance < 1e-4
    both = check(Table(pixels, ("a", "b", "c", "d"))).near_duplicates
    assert {(pair.first, pair.second) for pair in both} == {(0, 3), (1, 2)}


def test_plain_pictures_compare_by_colour():
    plain = np.zeros((3, 8, 8, 3), np.uint8)
    plain[1] = (255, 0, 0)
    plain[2] = (0, 0, 255)
    apart = distances(plain, plain)
    assert np.allclose(np.diag(apart), 0, atol=1e-5)
    assert apart[1, 2] > 0.5


def test_an_empty_table():
    found = check(Table(np.zeros((0, 8, 8, 3), np.uint8), ()))
    assert (found.num_pictures, found.caption_words, found.near_duplicates) == (0, (0, 0, 0), ())


@pytest.fixture
def people(pixels):
    pixels[3] = pixels[0]
    table = Table(pixels, ("a cup", "a hat", "a bird", "the cup again"))
    ann = ClientData("ann", table.take([0, 1]), table.take([]), {}, None)
    bo = ClientData("bo", table.take([2]), table.take([3]), {}, None)
    return Population({"ann": ann, "bo": bo}, ())


def test_people_as_they_would_train(people):
    found = check(as_table(people, [Skipped("x.png", "no caption")]))
    assert found.per_client == {"ann": 2, "bo": 2}
    assert found.held_out_per_client == {"ann": 0, "bo": 1}
    assert found.per_split == {"held-out": 1, "train": 3}
    (pair,) = found.near_duplicates
    assert pair.names == ("ann: a cup", "bo: the cup again")
    assert found.hints[0].startswith("1 without a caption: write NAME.txt")


def test_mirrored_pictures_count_once_more_and_held_out_ones_stay(people):
    twice = mirrored(people)
    for name, data in people.clients.items():
        train = twice.clients[name].train
        n = len(data.train)
        assert len(train) == 2 * n
        assert train.captions == data.train.captions * 2
        assert (train.pixels[:n] == data.train.pixels).all()
        assert (train.pixels[n:, :, ::-1] == data.train.pixels).all()
        assert (twice.clients[name].held_out.pixels == data.held_out.pixels).all()


def test_the_sheet_has_a_row_for_each_client_and_counts_what_it_does_not_show(people, monkeypatch):
    two = Image.open(io.BytesIO(sheet(as_table(people))))
    one = Image.open(io.BytesIO(sheet(people.clients["ann"].train)))
    assert two.height > one.height
    drawn = np.asarray(two)
    tile = people.clients["ann"].train.pixels[0].repeat(3, 0).repeat(3, 1)
    found = [
        (y, x)
        for y, x in zip(*np.nonzero((drawn == tile[0, 0]).all(-1)), strict=True)
        if (drawn[y : y + 96, x : x + 96].shape == tile.shape) and (drawn[y : y + 96, x : x + 96] == tile).all()
    ]
    assert len(found) == 2  # ann's cup, and bo's, which is the same picture
    headings = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda pen, at, words, *rest: headings.append(words))
    many = people.clients["ann"].train.take([0] * 25)
    split = replace(many, columns={"split": ("train",) * 21 + ("test",) * 4})
    for table in (many, split, many.take(range(10))):
        sheet(table)
    assert [words for words in headings if words.startswith("all:")] == [
        "all:  25 pictures; 15 more not shown",
        "all:  21 to learn from, 4 held out; 15 more not shown",
        "all:  10 pictures",
    ]
    monkeypatch.undo()
    long = Table(people.clients["ann"].train.pixels, ("word " * 200, "unbroken" * 50))
    assert Image.open(io.BytesIO(sheet(long))).size == one.size
    assert sheet(Table(np.zeros((0, 8, 8, 3), np.uint8), ()))
