"""Pictures of every shape: cut as little as possible to a few sizes of about equal area."""

import io

import numpy as np
import pytest
from PIL import Image

from coterie.data.buckets import Buckets
from coterie.data.check import check
from coterie.data.picture import Row, decode, gather, squares
from coterie.data.population import ClientData, Population, mirrored
from coterie.data.sheet import sheet
from coterie.data.table import join


def file(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def table(*sizes):
    rows = [Row(str(i), file(*size, i), f"thing {i}", {"client": "ann"}) for i, size in enumerate(sizes)]
    return gather(rows, Buckets(32, 4))


@pytest.mark.parametrize(("side", "multiple"), [(1024, 64), (1024, 16), (512, 64), (768, 32), (256, 16), (32, 4)])
def test_sizes_are_about_as_large_and_no_larger_and_not_too_long(side, multiple):
    buckets = Buckets(side, multiple)
    assert (side, side) in buckets.sizes
    assert len(set(buckets.sizes)) == len(buckets.sizes) >= 7
    assert {(w, h) for h, w in buckets.sizes} == set(buckets.sizes)
    for h, w in buckets.sizes:
        assert (h % multiple, w % multiple) == (0, 0)
        assert 0.75 * side**2 < h * w <= side**2
        assert 0.5 <= h / w <= 2


def test_where_only_squares_will_do_there_is_one_size():
    assert Buckets(32, 32).sizes == ((32, 32),)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((100, 100), (1024, 1024)), ((768, 1344), (768, 1344)), ((3000, 2000), (1216, 832)), ((10, 900), (704, 1408))],
)
def test_the_nearest_shape(size, wanted):
    assert Buckets(1024, 64).nearest(*size) == wanted


def test_nothing_is_squashed_and_little_is_cut():
    wide = np.zeros((200, 300, 3), np.uint8)
    yy, xx = np.mgrid[:200, :300]
    wide[(yy - 100) ** 2 + (xx - 150) ** 2 < 80**2] = 255
    out = io.BytesIO()
    Image.fromarray(wide).save(out, "PNG")
    cut = decode(out.getvalue(), Buckets(256, 32))
    assert cut.shape == (192, 320, 3)
    across, down = ((cut[..., 0] > 127).any(axis).sum() for axis in (0, 1))
    assert abs(int(across) - int(down)) <= 1  # a circle stays one
    assert abs(across - 159 * 320 / 300) <= 1  # and the whole width is there, the longer way of this shape


def test_squares_are_what_they_always_were():
    """Whole pixels of the middle, as before there were buckets."""
    picture = Image.open(io.BytesIO(file(33, 50)))
    before = np.asarray(picture.resize((16, 16), Image.Resampling.LANCZOS, box=(8, 0, 41, 33)))
    assert (decode(file(33, 50), 16) == before).all()
    assert (decode(file(20, 20), Buckets(16, 4)) == decode(file(20, 20), 16)).all()


def test_tables_of_many_shapes_are_taken_joined_and_mirrored():
    mixed, plain = table((20, 40), (32, 32), (40, 20)), table((30, 30), (31, 30))
    assert mixed.by_size == {(20, 40): [0], (32, 32): [1], (40, 20): [2]}
    assert plain.pixels.shape == (2, 32, 32, 3)
    both = join([plain, mixed.take([2, 0]), plain.take([])])
    assert [p.shape[:2] for p in both.pixels] == [(32, 32), (32, 32), (40, 20), (20, 40)]
    one = Population({"ann": ClientData("ann", mixed, mixed.take([]), {}, None)}, ())
    twice = mirrored(one).clients["ann"].train
    assert len(twice) == 6
    for before, after in zip(mixed.pixels, twice.pixels[3:], strict=True):
        assert (before[:, ::-1] == after).all()


def test_squares_of_pictures_of_many_shapes():
    mixed = table((20, 40), (32, 32))
    cut = squares(mixed.pixels, 32)
    assert cut.shape == (2, 32, 32, 3)
    assert (cut[1] == mixed.pixels[1]).all()
    plain = table((30, 30)).pixels
    assert squares(plain, 32) is plain


def test_check_counts_sizes_and_the_sheet_shows_shapes():
    mixed = table((20, 40), (20, 41), (32, 32))
    assert check(mixed).per_size == {"40 x 20": 2, "32 x 32": 1}
    drawn = np.asarray(Image.open(io.BytesIO(sheet(mixed.take([0])))).convert("RGB"))
    tile = mixed.pixels[0]
    shown = np.asarray(Image.fromarray(tile).resize((96, 48), Image.Resampling.NEAREST))
    y, x = 12 + 15 + 10, 12
    assert (drawn[y : y + 48, x : x + 96] == shown).all()
    assert (drawn[y + 48 : y + 51, x : x + 96] == 255).all()
