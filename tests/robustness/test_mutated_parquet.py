"""500 damaged parquet files: bytes of good ones changed, and good ones with rows of the wrong kinds."""

import datetime
import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from coterie.data.sources.parquet import Parquet


def _png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 6), colour).save(buffer, "PNG")
    return buffer.getvalue()


RED, BLUE = _png("red"), _png("blue")
ROWS = [
    {"image": {"bytes": RED, "path": "a.png"}, "caption": "a cup", "artist": 0, "place": "attic"},
    {"image": {"bytes": BLUE, "path": None}, "caption": "a hat", "artist": 1, "place": None},
    {"image": {"bytes": RED[:40], "path": "cut.png"}, "caption": "a bird", "artist": 1, "place": "Zürich"},
]
IMAGES = [
    None, 7, "a.png", RED, b"", b"\x89PNG", [RED], {"bytes": RED}, {"path": "/etc/passwd"}, {"other": 1},
    {"bytes": None, "path": "x"}, {"bytes": "text", "path": "x"}, {"bytes": [1, 2], "path": "x"},
    datetime.datetime(2020, 1, 1),
]  # fmt: skip
TEXTS = [
    None, 7, -1, 2**62, 1.5, float("nan"), True, "", " ", "\0", "a" * 70_000, b"bytes", b"\xff", ["a"], {"a": "b"},
    datetime.date(2020, 1, 1), datetime.timedelta(1),
]  # fmt: skip


def _written(table, compression="snappy"):
    out = io.BytesIO()
    pq.write_table(table, out, compression=compression)
    return out.getvalue()


def _seeds():
    from datasets import ClassLabel, Dataset
    from datasets import Image as Feature

    noted = Dataset.from_list(ROWS).cast_column("image", Feature(decode=False))
    noted = noted.cast_column("artist", ClassLabel(names=["ann", "bo"]))
    out = io.BytesIO()
    noted.to_parquet(out)
    plain = pa.Table.from_pylist([{**row, "image": row["image"]["bytes"]} for row in ROWS])
    listed = pa.Table.from_pylist(ROWS)
    return [out.getvalue(), _written(plain, "none"), _written(listed, "zstd"), _written(listed.slice(0, 0))]


def _strange(rng):
    """A sound file whose columns are of any kind; values of one column are alike, as Arrow demands."""
    columns = {
        "image": [rng.choice(IMAGES)] * 2,
        "caption": [rng.choice(TEXTS)] * 2,
        "place": [rng.choice(TEXTS), None],
    }
    if rng.random() < 0.5:
        columns["image"] = [ROWS[0]["image"], ROWS[1]["image"]]
    if rng.random() < 0.3:
        columns["caption"] = ["a cup", "a hat"]
    if rng.random() < 0.2:
        columns.pop(rng.choice(list(columns)))
    table = pa.table(columns)
    if rng.random() < 0.2:
        table = table.append_column(rng.choice(("image", "caption", "place", "a.b", "")), pa.array([1, 2]))
    if rng.random() < 0.2 and "caption" in columns:
        table = table.set_column(1, "caption", table.column("caption").dictionary_encode())
    notes = rng.choice(("{", "[]", "null", '{"info": 1}', '{"info": {"features": {"place": {"_type": "ClassLabel"}}}}'))
    return _written(table.replace_schema_metadata({"huggingface": notes}))


def test_500_parquet_files(tmp_path, damage, survives):
    broken = [data for _, data in damage(4, _seeds(), 380)]
    strange = []
    for number in range(200):
        try:
            strange.append(_strange(random.Random(number)))
        except (pa.ArrowException, TypeError, KeyError):  # a table that cannot be written cannot come in
            continue
    broken += strange[:120]
    read = 0
    for data in broken:
        (tmp_path / "p.parquet").write_bytes(data)
        table = survives(Parquet(tmp_path / "p.parquet").read, 8)
        if table is not None:
            read += 1
            assert len(table) + len(table.skipped) <= 10
    assert len(broken) == 500
    assert 50 < read < 450
