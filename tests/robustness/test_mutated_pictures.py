"""500 damaged pictures: each is used or named, and the good one beside it is read all the same."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image

from coterie.data.sources.image_folder import ImageFolder


def _file(picture, format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _seeds():
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (12, 12), np.uint16))
    clear = Image.fromarray(rng.integers(0, 256, (12, 12, 4), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [colour.rotate(angle) for angle in (90, 180)]
    return {
        "png": _file(colour, "PNG", exif=exif),
        "deep.png": _file(deep, "PNG"),
        "palette.png": _file(colour.quantize(16), "PNG", transparency=3),
        "moving.png": _file(colour, "PNG", save_all=True, append_images=frames),
        "jpg": _file(colour, "JPEG", exif=exif),
        "cmyk.jpg": _file(colour.convert("CMYK"), "JPEG"),
        "progressive.jpg": _file(colour, "JPEG", progressive=True),
        "gif": _file(colour, "GIF", save_all=True, append_images=frames),
        "webp": _file(clear, "WEBP", lossless=True),
        "lossy.webp": _file(colour, "WEBP"),
        "tif": _file(deep, "TIFF"),
        "packed.tif": _file(colour, "TIFF", compression="tiff_lzw"),
        "bmp": _file(colour, "BMP"),
        "ico": _file(clear, "ICO"),
        "tga": _file(colour, "TGA", rle=True),
        "ppm": _file(colour, "PPM"),
    }


def _lying_png(data, rng):
    """A PNG whose header is wrong but whose checksum is right, so that it is believed."""
    fields = list(struct.unpack(">IIBBBBB", data[16:29]))
    fields[rng.randrange(7)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    if rng.random() < 0.7:
        fields[rng.randrange(2)] = rng.choice((0, 1, 5000, 20_000, 10**6, 2**31 - 1))
    head = struct.pack(">IIBBBBB", fields[0], fields[1], *(value & 255 for value in fields[2:]))
    return data[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]


def test_500_pictures(tmp_path, damage, survives):
    seeds = _seeds()
    names, files = list(seeds), list(seeds.values())
    rng = random.Random(2)
    broken = [(names[index], data) for index, data in damage(1, files, 420)]
    broken += [("png", _lying_png(files[rng.randrange(4)], rng)) for _ in range(80)]
    used = 0
    for number, (ending, data) in enumerate(broken):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "good.png").write_bytes(files[0])
        (folder / f"bad.{ending}").write_bytes(data)
        table = survives(ImageFolder(folder, caption="a thing").read, 8)
        assert len(table) + len(table.skipped) == 2
        assert {skipped.name for skipped in table.skipped} <= {f"bad.{ending}"}
        assert all(skipped.reason.isprintable() for skipped in table.skipped)
        used += len(table) - 1
    assert len(broken) == 500
    assert 50 < used < 450  # neither is everything refused, nor does the damage do nothing
