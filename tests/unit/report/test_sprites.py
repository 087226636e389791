"""All pictures in one file: each once, each found again."""

import base64
import io
import re

import numpy as np
from PIL import Image

from coterie.report import sprites
from coterie.report.sprites import Atlas


def picture(seed, side=32):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def unpacked(style):
    data = base64.b64decode(re.search(r"base64,([^)]+)\)", style)[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_every_picture_is_where_its_rule_says():
    atlas, pictures = Atlas(), [picture(i) for i in range(7)]
    numbers = atlas.add_all([*pictures, pictures[2]])
    assert numbers == [0, 1, 2, 3, 4, 5, 6, 2]
    style = atlas.style()
    sheet = unpacked(style)
    for i, original in enumerate(pictures):
        x, y = (-int(v) * 32 for v in re.search(rf"\.t{i}{{--x:(-?\d+);--y:(-?\d+)}}", style).groups())
        assert (sheet[y : y + 32, x : x + 32] == original).all()
    assert atlas.bits == 8


def test_a_large_sheet_loses_shades_and_not_places(monkeypatch):
    monkeypatch.setattr(sprites, "BUDGET", 9_000)
    atlas = Atlas()
    atlas.add_all([picture(i) for i in range(4)])
    assert atlas.bits < 8
    error = np.abs(unpacked(atlas.style())[:32, :32].astype(int) - picture(0))
    assert error.max() <= 255 / (2**atlas.bits - 1) / 2 + 1


def test_other_sides_are_brought_to_one():
    atlas = Atlas()
    atlas.add_all([picture(0, 64), picture(1, 32), picture(2, 16)])
    assert unpacked(atlas.style()).shape == (128, 128, 3)


def test_other_shapes_are_not_squashed():
    """The page shows the part of a square tile that a picture fills."""
    atlas = Atlas()
    wide = np.random.default_rng(2).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    assert atlas.add_all([picture(0), wide, wide, wide[:, ::-1].transpose(1, 0, 2)]) == [0, 1, 1, 2]
    style = atlas.style()
    assert ".t0{--x:0;--y:0}" in style
    assert ".t1{--x:-1;--y:0;--w:1.0;--h:0.5}" in style
    assert ".t2{--x:0;--y:-1;--w:0.5;--h:1.0}" in style
    assert (unpacked(style)[:16, 32:] == wide).all()
    larger = np.random.default_rng(3).integers(0, 256, (44, 88, 3), dtype=np.uint8)
    assert atlas.add(larger) == 3
    assert "--w:1.0;--h:0.5}" in atlas.style().split(".t3{")[1]


def test_large_pictures_are_shown_larger_and_compressed_with_loss():
    atlas = Atlas()
    atlas.add_all([picture(0, 512), picture(1, 512)])
    style = atlas.style()
    assert unpacked(style).shape == (192, 384, 3)
    assert "--side:48px" in style
    assert "--side" not in (small := Atlas(), small.add(picture(0, 32)))[0].style()


def test_without_pictures_there_is_no_rule():
    assert Atlas().style() == ""
    assert Atlas().bits == 8
