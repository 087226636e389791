"""500 damaged captions, wishes and lists of captions: read, named, or refused in one line."""

import io
import json
import random

from PIL import Image

from coterie.data.check import check
from coterie.data.sheet import sheet
from coterie.data.sources.image_folder import ImageFolder

ROWS = [
    {"file_name": "ann/1.png", "caption": "a red cup — “old”", "place": "attic", "year": 1931, "tags": ["a", "b"]},
    {"file_name": "bo/1.png", "caption": "a bird, small", "place": "Zürich", "year": None, "tags": []},
]
STRANGE = [
    None, True, -0.0, 1e308, 10**40, "", " \n", "\0", "\ud800", "../../etc/passwd", "/etc/passwd", ".", "..",
    "a" * 5000, "\u202ecup", [], {}, [[[]]], {"caption": {"caption": "x"}},
]  # fmt: skip


def _lines(rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def _strange_rows(rng):
    rows = [dict(row) for row in ROWS]
    for _ in range(rng.randrange(1, 4)):
        row = rng.choice(rows)
        key = rng.choice([*row, "\ud800", "", "client", "split", "wish"])
        match rng.randrange(4):
            case 0:
                row.pop(key, None)
            case 1:
                row[key] = rng.choice(STRANGE)
            case 2:
                rows.append({**row, key: rng.choice(STRANGE)})
            case _:
                row[f"{key}{rng.randrange(9)}"] = row.pop(key, 0)
    text = _lines(rows)
    if rng.random() < 0.2:
        text += rng.choice(
            (b"\n" + b"[" * 100_000, b"\n[1]", b"\n7" * 3, b'\n{"caption": ' + b"9" * 5000 + b"}", b"\nNaN")
        )
    return text


def test_500_texts(tmp_path, damage, survives):
    table = "file_name,caption,place\nann/1.png,\"a red cup, 'old'\",attic\nbo/1.png,a bird,Zürich\n".encode()
    seeds = {
        "metadata.jsonl": _lines(ROWS),
        "metadata.csv": table,
        "ann/1.txt": "a red cup — “old”\n".encode(),
        "ann/wish.txt": "paper, folded \N{SNOWMAN}".encode(),
    }
    names, files = list(seeds), list(seeds.values())
    broken = [(names[index], data) for index, data in damage(3, files, 400)]
    broken += [("metadata.jsonl", _strange_rows(random.Random(number))) for number in range(100)]
    for folder in ("ann", "bo"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4), "red").save(tmp_path / folder / "1.png")
        (tmp_path / folder / "1.txt").write_text("a thing")
    read = 0
    for name, data in broken:
        kept = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None
        (tmp_path / name).write_bytes(data)
        table = survives(ImageFolder(tmp_path).read, 8)
        if table is not None:
            read += 1
            assert 1 <= len(table) <= 2
            texts = (*table.captions, *table.columns, *(value for column in table.columns.values() for value in column))
            "".join((*texts, *(skipped.name + skipped.reason for skipped in table.skipped))).encode()
            if read % 20 == 0:
                assert check(table).num_pictures == len(table)
                assert Image.open(io.BytesIO(sheet(table))).format == "PNG"
        (tmp_path / name).unlink() if kept is None else (tmp_path / name).write_bytes(kept)
    assert len(broken) == 500
    assert 100 < read < 490
