"""Data sets of the hub, tried on what ``datasets`` writes to a disk; nothing here touches a network."""

import io

import pytest
from PIL import Image as Pictures

from coterie.core.errors import UserError
from coterie.data.sources.hub import Hub, is_saved


def png(colour="red"):
    buffer = io.BytesIO()
    Pictures.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def rows():
    from datasets import ClassLabel, Dataset, Image

    made = [
        {"image": {"bytes": png(c), "path": None}, "text": f"a {c} cup", "artist": i % 2, "tags": ["x"]}
        for i, c in enumerate(("red", "green", "blue"))
    ]
    made.append({"image": {"bytes": b"no picture", "path": "bad.png"}, "text": "a hat", "artist": 1, "tags": []})
    names = ClassLabel(names=["ann", "bo"])
    return Dataset.from_list(made).cast_column("image", Image()).cast_column("artist", names)


def test_what_save_to_disk_wrote(tmp_path, rows):
    rows.save_to_disk(tmp_path / "saved")
    assert is_saved(tmp_path / "saved")
    table = Hub(str(tmp_path / "saved")).read(4)
    assert table.captions == ("a red cup", "a green cup", "a blue cup")
    assert dict(table.columns) == {"artist": ("ann", "bo", "ann")}
    assert table.pixels[2, 0, 0].tolist() == [0, 0, 255]
    assert [(s.name, s.reason) for s in table.skipped] == [("row 3 (bad.png)", "not a picture that can be read")]


def test_a_folder_of_parquet_files_and_nothing_left_in_the_home(tmp_path, rows, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "files").mkdir()
    rows.to_parquet(str(tmp_path / "files" / "train-00000-of-00001.parquet"))
    assert is_saved(tmp_path / "files")
    assert len(Hub(str(tmp_path / "files"), split="train[:2]").read(4)) == 2
    assert not (tmp_path / "home").exists()


def test_splits_by_name(tmp_path, rows):
    from datasets import DatasetDict

    DatasetDict(train=rows, test=rows.select([0])).save_to_disk(tmp_path / "both")
    assert len(Hub(str(tmp_path / "both"), split="test").read(4)) == 1
    with pytest.raises(UserError, match=r"^split: .*both has no split 'tset'; did you mean 'test'\?$"):
        Hub(str(tmp_path / "both"), split="tset").read(4)


def test_pictures_that_a_folder_only_names_are_read_from_there_and_from_nowhere_else(tmp_path):
    from datasets import Dataset, Image

    folder = tmp_path / "names"
    (folder / "train").mkdir(parents=True)
    for path in (folder / "train" / "a.png", tmp_path / "secret.png"):
        path.write_bytes(png())
    (folder / "train" / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a cup"}')
    assert Hub(str(folder)).read(4).captions == ("a cup",)
    listed = Dataset.from_list([{"image": {"bytes": None, "path": str(tmp_path / "secret.png")}, "text": "not mine"}])
    listed.cast_column("image", Image(decode=False)).to_parquet(str(tmp_path / "other" / "train.parquet"))
    with pytest.raises(UserError, match="no picture"):
        Hub(str(tmp_path / "other")).read(4)


def test_errors_are_one_line(tmp_path, rows):
    rows.save_to_disk(tmp_path / "saved")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for source, said in (
        (
            Hub(str(tmp_path / "saved"), image_column="imag"),
            r"^image_column: .* no column 'imag'; did you mean 'image'",
        ),
        (
            Hub(str(tmp_path / "saved"), caption_column="txt"),
            r"^caption_column: .* no column 'txt'; did you mean 'text'",
        ),
        (Hub(str(tmp_path / "empty")), "not a data set that can be loaded"),
        (Hub(str(tmp_path / "file")), "is a file; wanted a folder or an id of the hub"),
        (Hub("./nowhere"), "no such folder or an id of the hub"),
        (Hub("nobody/no-such-set"), "nobody/no-such-set: the hub"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            source.read(4)
        assert "\n" not in str(caught.value)
