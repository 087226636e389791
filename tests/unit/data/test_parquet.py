import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from coterie.core.errors import UserError
from coterie.data.sources.parquet import Parquet


def png(colour=(200, 30, 40), size=(8, 8), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def row(caption="a cup", image=None, **more):
    return {"image": {"bytes": png() if image is None else image, "path": "p.png"}, "caption": caption, **more}


def test_reads_pictures_captions_and_plain_columns(tmp_path):
    path = write(tmp_path / "p.parquet", [row(label=3, tags=["x"]), row("a  hat\n", label=None)])
    table = Parquet(path).read(4)
    assert table.pixels.shape == (2, 4, 4, 3)
    assert table.pixels[0, 0, 0].tolist() == [200, 30, 40]
    assert table.captions == ("a cup", "a hat")
    assert dict(table.columns) == {"label": ("3", "")}


def test_reads_a_file_written_by_datasets(tmp_path):
    from datasets import ClassLabel, Dataset
    from datasets import Image as Feature

    rows = (
        Dataset.from_list([row(kind=1)])
        .cast_column("image", Feature())
        .cast_column("kind", ClassLabel(names=["hat", "cup"]))
    )
    rows.to_parquet(str(tmp_path / "hf.parquet"))
    table = Parquet(tmp_path / "hf.parquet").read(4)
    assert table.captions == ("a cup",)
    assert table.columns["kind"] == ("cup",)


def test_plain_bytes_and_other_column_names(tmp_path):
    path = write(tmp_path / "p.parquet", [{"photo": png(), "text": "a cup"}])
    assert len(Parquet(path, image_column="photo", caption_column="text").read(4)) == 1


def test_bad_rows_are_skipped_by_name(tmp_path):
    noise = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(noise, "PNG")
    cut = noise.getvalue()[:900]
    rows = [row(), row(image=b"no picture"), row(" "), row(None), row(image=cut), row(image=b"")]
    table = Parquet(write(tmp_path / "p.parquet", rows)).read(4)
    assert len(table) == 1
    assert [s.name for s in table.skipped] == [f"row {i} (p.png)" for i in range(1, 6)]
    reasons = [s.reason for s in table.skipped]
    assert reasons[:3] == ["not a picture that can be read", "no caption", "no caption"]
    assert reasons[3].startswith(("damaged", "not a picture"))
    assert reasons[4] == "an empty file"


def test_user_errors(tmp_path):
    path = write(tmp_path / "p.parquet", [row(image=b"no picture")])
    with pytest.raises(UserError, match=r"^/.*q.parquet: no such file; did you mean 'p.parquet'\?$"):
        Parquet(tmp_path / "q.parquet").read(4)
    with pytest.raises(UserError, match="is a folder; wanted a parquet file"):
        Parquet(tmp_path).read(4)
    with pytest.raises(UserError, match=r"^image_column: .* has no column 'imag'; did you mean 'image'\?$"):
        Parquet(path, image_column="imag").read(4)
    with pytest.raises(UserError, match=r"^caption_column: .* has no column 'zzz'; there are: caption, image$"):
        Parquet(path, caption_column="zzz").read(4)
    with pytest.raises(UserError, match=r"none of its 1 rows can be used: row 0 \(p.png\): not a picture"):
        Parquet(path).read(4)
    (tmp_path / "t.parquet").write_text("hello")
    with pytest.raises(UserError, match="not a parquet file"):
        Parquet(tmp_path / "t.parquet").read(4)


def test_nothing_is_left_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Parquet(write(tmp_path / "p.parquet", [row()])).read(4)
    assert not (tmp_path / "home").exists()


def test_pictures_are_upright_square_and_on_white(tmp_path):
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = (10, 200, 10)
    half = Image.fromarray(np.zeros((4, 4, 4), np.uint8))
    turned = Image.fromarray(np.vstack([np.zeros((4, 8, 3), np.uint8), np.full((4, 8, 3), 255, np.uint8)]))
    exif = Image.Exif()
    exif[0x0112] = 3
    files = []
    for picture, options in ((Image.fromarray(wide), {}), (half, {}), (turned, {"exif": exif})):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", **options)
        files.append(row(image=buffer.getvalue()))
    deep = io.BytesIO()
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(deep, "PNG")
    files.append(row(image=deep.getvalue()))
    pixels = Parquet(write(tmp_path / "p.parquet", files)).read(4).pixels
    assert (pixels[0, :, 1:3] == (10, 200, 10)).all()
    assert (pixels[1] == 255).all()
    assert pixels[2, 0].min() == 255
    assert pixels[2, 3].max() == 0
    assert abs(int(pixels[3].mean()) - 127) <= 1


def test_text_columns_defaults_and_two_columns_of_one_name(tmp_path):
    plain = [{"image": png(), "text": "a cup"}, {"image": png(), "text": None}]
    path = write(tmp_path / "p.parquet", plain)
    assert Parquet(path).read(4).captions == ("a cup",)
    assert Parquet(path, caption="a thing").read(4).captions == ("a cup", "a thing")
    mute = write(tmp_path / "mute.parquet", [{"image": png()}])
    assert Parquet(mute, caption="a thing").read(4).captions == ("a thing",)
    with pytest.raises(UserError, match="no column 'caption'"):
        Parquet(mute).read(4)
    twice = pa.table({"image": [png()], "text": ["a cup"]}).append_column("text", pa.array(["x"]))
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(UserError, match="has 2 columns called 'text'; only one can be meant"):
        Parquet(tmp_path / "twice.parquet").read(4)


def test_a_path_in_a_file_is_not_opened(tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    named = [{"image": {"bytes": None, "path": str(tmp_path / "secret.png")}, "caption": "not mine"}, row()]
    table = Parquet(write(tmp_path / "p.parquet", named)).read(4)
    assert len(table) == 1
    assert table.skipped[0].reason == "no picture"
