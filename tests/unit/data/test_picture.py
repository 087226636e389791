"""Every kind of picture file that people have: used as they see it, or skipped with a reason."""

import io
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from PIL import Image

from coterie.data.picture import NO_CAPTION, Row, Unreadable, _init, decode, endings, gather

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def file(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def halves(top, bottom, mode="RGB"):
    picture = Image.new(mode, (16, 16), top)
    picture.paste(bottom, (0, 8, 16, 16))
    return picture


def near(pixel, wanted, within=6):
    return np.abs(np.asarray(pixel, int) - wanted).max() <= within


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_turned_camera(format):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = decode(file(halves("black", "white"), format, exif=exif), 16)
    assert near(pixels[0, 0], (255, 255, 255))
    assert near(pixels[15, 0], (0, 0, 0))


def test_notes_of_a_camera_that_cannot_be_read_cost_nothing():
    data = file(halves("black", "white"), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert near(decode(data, 16)[0, 0], (0, 0, 0))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_of_a_moving_picture_the_first_frame(format):
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green"))
    pixels = decode(file(first, format, save_all=True, append_images=others), 8)
    assert near(pixels[4, 4], (255, 0, 0), 12)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_colours_of_a_printer(format):
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = decode(file(picture, format), 8)[4, 4]
    assert red[0] > 200
    assert red[1:].max() < 60


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("value", [128, 20_000, 60_000])
def test_sixteen_bits_are_scaled_and_not_clipped(format, value):
    deep = Image.fromarray(np.full((8, 8), value, np.uint16))
    assert near(decode(file(deep, format), 8)[0, 0], value / 257, 1)


@pytest.mark.parametrize(("largest", "wanted"), [(1.0, 127), (255.0, 127), (65535.0, 127), (1e6, 127)])
def test_fractions_and_32_bits_are_scaled_by_the_range_that_holds_them(largest, wanted):
    values = np.full((8, 8), largest / 2, np.float32)
    values[:4] = largest
    assert near(decode(file(Image.fromarray(values), "TIFF"), 8)[7, 0], (wanted,) * 3, 1)
    if largest > 1:
        assert near(decode(file(Image.fromarray(values.astype(np.int32)), "TIFF"), 8)[7, 0], (wanted,) * 3, 1)


def test_what_cannot_be_seen_is_white():
    clear = halves((10, 20, 30, 0), (10, 20, 30, 255), "RGBA")
    for data in (file(clear), file(clear, "WEBP", lossless=True), file(clear.convert("LA"))):
        pixels = decode(data, 16)
        assert near(pixels[0, 0], (255, 255, 255))
        assert pixels[15, 0].max() < 60
    palette = halves("red", "blue").quantize(2)
    hidden = palette.getpixel((0, 0))
    for format in ("PNG", "GIF"):
        pixels = decode(file(palette, format, transparency=hidden), 16)
        assert near(pixels[0, 0], (255, 255, 255))
        assert near(pixels[15, 0], (0, 0, 255), 12)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_black_and_white_grey_and_palettes(mode):
    assert near(decode(file(halves("black", "white").convert(mode)), 16)[15, 0], (255, 255, 255))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_picture_cut_short_is_named(format):
    noise = Image.effect_noise((64, 64), 80)
    data = file(noise, format)
    with pytest.raises(Unreadable, match=r"damaged|not a picture"):
        decode(data[: len(data) // 2], 8)


def claimed(width, height):
    head = struct.pack(">II", width, height) + bytes((8, 2, 0, 0, 0))
    sound = file(Image.new("RGB", (4, 4)))
    return sound[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + sound[33:]


def test_claims_of_many_pixels_are_not_believed():
    with pytest.raises(Unreadable, match="too many pixels"):
        decode(claimed(60_000, 60_000), 8)
    with pytest.raises(Unreadable, match="too many pixels: 9000 x 9000"):
        decode(claimed(9000, 9000), 8)
    with pytest.raises(Unreadable, match=r"too many pixels for its \d+ bytes: 5000 x 5000"):
        decode(claimed(5000, 5000), 8)
    blank = file(Image.new("1", (12_000, 5000), 1), "TIFF", compression="group4")
    with pytest.raises(Unreadable, match="too many pixels for its"):
        decode(blank, 8)
    real = np.random.default_rng(0).integers(0, 256, (1500, 2000), np.uint8)
    assert decode(file(Image.fromarray(real), "JPEG"), 8).shape == (8, 8, 3)


def test_programs_and_telephones_are_named():
    with pytest.raises(Unreadable, match="not a picture that can be read"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", 8)
    with pytest.raises(Unreadable, match="HEIC; save it as JPEG or PNG"):
        decode(HEIC, 8)
    with pytest.raises(Unreadable, match=r"AVIF, which Pillow reads from 11\.3 on"):
        decode(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", 8)
    for other in (b"\0\0\0\x14ftypisom\0\0\0\0mp42", b"\xff\xff\xff\xffftyp"):
        with pytest.raises(Unreadable, match="not a picture that can be read"):
            decode(other, 8)
    assert {".jpg", ".png", ".webp", ".heic", ".heif", ".hif", ".avif"} <= endings()
    bare = gather([Row("1.heic", HEIC, None, {})], 8)
    assert bare.skipped[0].reason.startswith("HEIC; ")  # a caption would not help


def test_heic_is_read_where_its_package_is(monkeypatch):
    """The package is played: its opener is one that reads a PNG behind a HEIC file's first box."""
    from PIL import PngImagePlugin

    class Opener(PngImagePlugin.PngImageFile):
        format = "HEIF"

        def _open(self):
            self.fp.read(len(HEIC))
            super()._open()

    def register_heif_opener():
        Image.register_open("HEIF", Opener, lambda start: start[4:12] == b"ftypheic")

    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    package = types.ModuleType("pillow_heif")
    package.register_heif_opener = register_heif_opener
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    monkeypatch.setattr("coterie.data.picture._init", _init.__wrapped__)  # it looks once only
    assert near(decode(HEIC + picture.getvalue(), 8)[4, 4], (255, 0, 0))
    assert not {".eps", ".pdf", ".txt"} & endings()


def test_a_caption_for_all_and_clients_of_whom_nothing_is_left():
    sound = file(Image.new("RGB", (4, 4)))
    rows = [
        Row("1", sound, " own \n words", {"client": "ann"}),
        Row("2", sound, None, {"client": "ann"}),
        Row("3", b"", None, {"client": "bo"}),
        Row("4", None, "x", {"client": "bo"}, "why not"),
    ]
    table = gather(rows, 4, "a  thing")
    assert table.captions == ("own words", "a thing")
    assert [(s.name, s.reason) for s in table.skipped] == [
        ("3", "an empty file"), ("4", "why not"), ("bo", "a client without a usable picture"),
    ]  # fmt: skip
    assert gather(rows[1:2], 4).skipped[0].reason == NO_CAPTION
