import numpy as np
import pytest

from coterie.data.check import check, distances
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
