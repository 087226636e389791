import json

import pytest
from PIL import Image

from coterie.core.errors import UserError
from coterie.data.sources.folders import Folders
from coterie.data.sources.image_folder import ImageFolder


def picture(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 6), colour).save(path)


def metadata(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def test_jsonl_with_further_columns(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.jpg")
    rows = [
        {"file_name": "a.png", "caption": "a cup", "kind": 1},
        {"file_name": "b.jpg", "caption": "a hat", "kind": 2},
    ]
    metadata(tmp_path / "metadata.jsonl", rows)
    table = ImageFolder(tmp_path).read(4)
    assert table.captions == ("a cup", "a hat")
    assert dict(table.columns) == {"kind": ("1", "2")}
    assert table.pixels.shape == (2, 4, 4, 3)


def test_csv_with_a_column_of_another_name(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,a cup\n")
    assert ImageFolder(tmp_path, caption_column="text").read(4).captions == ("a cup",)


def test_text_files_and_clients_by_sub_folder(tmp_path):
    for name in ("bo/2.png", "ann/deep/1.PNG"):
        picture(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text(f"from {name}\n")
    table = ImageFolder(tmp_path).read(4)
    assert table.captions == ("from ann/deep/1.PNG", "from bo/2.png")
    assert table.columns["client"] == ("ann", "bo")


def test_folders_named_after_splits(tmp_path):
    for name in ("train/ann/1.png", "test/ann/2.png"):
        picture(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text("cup")
    table = ImageFolder(tmp_path).read(4)
    assert table.columns["split"] == ("test", "train")
    assert table.columns["client"] == ("ann", "ann")


def test_metadata_in_a_sub_folder(tmp_path):
    picture(tmp_path / "ann" / "1.png")
    metadata(tmp_path / "ann" / "metadata.jsonl", [{"file_name": "1.png", "caption": "a cup"}])
    assert ImageFolder(tmp_path).read(4).columns["client"] == ("ann",)


def test_bad_pictures_are_skipped_by_name(tmp_path):
    picture(tmp_path / "good.png")
    picture(tmp_path / "mute.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "notes.md").write_text("not looked at")
    listed = [{"file_name": n, "caption": "a cup"} for n in ("good.png", "bad.png", "gone.png")]
    metadata(tmp_path / "metadata.jsonl", listed)
    table = ImageFolder(tmp_path).read(4)
    assert len(table) == 1
    assert [(s.name, s.reason) for s in table.skipped] == [
        ("bad.png", "not a picture that can be read"),
        ("mute.png", "no caption"),
        ("gone.png", "listed, but there is no such picture"),
    ]


def test_a_listed_path_outside_the_folder_is_not_opened(tmp_path):
    picture(tmp_path / "secret.png")
    picture(tmp_path / "mine" / "a.png")
    rows = [{"file_name": "../secret.png", "caption": "not mine"}, {"file_name": "a.png", "caption": "a cup"}]
    rows.append({"file_name": str(tmp_path / "secret.png"), "caption": "not mine"})
    metadata(tmp_path / "mine" / "metadata.jsonl", rows)
    table = ImageFolder(tmp_path / "mine").read(4)
    assert table.captions == ("a cup",)
    assert [s.name for s in table.skipped] == ["../secret.png", str(tmp_path / "secret.png")]


def test_user_errors(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match=r"^/.*mime: no such folder; did you mean 'mine'\?$"):
        ImageFolder(tmp_path / "mime").read(4)
    with pytest.raises(UserError, match="there is no picture in it"):
        ImageFolder(tmp_path / "mine").read(4)
    picture(tmp_path / "mine" / "a.png")
    with pytest.raises(UserError, match="is a file; wanted a folder"):
        ImageFolder(tmp_path / "mine" / "a.png").read(4)
    with pytest.raises(UserError, match=r"none of its 1 pictures can be used: a.png: no caption"):
        ImageFolder(tmp_path / "mine").read(4)
    listing = tmp_path / "mine" / "metadata.jsonl"
    metadata(listing, [{"file_name": "a.png", "captoin": "a cup"}])
    with pytest.raises(UserError, match=r"^caption_column: .*jsonl has no column 'caption'; did you mean 'captoin'\?$"):
        ImageFolder(tmp_path / "mine").read(4)
    metadata(listing, [{"filename": "a.png", "caption": "a cup"}])
    with pytest.raises(UserError, match=r"no column 'file_name'; did you mean 'filename'\?"):
        ImageFolder(tmp_path / "mine").read(4)
    listing.write_text("{broken")
    with pytest.raises(UserError, match="cannot be read as JSON lines"):
        ImageFolder(tmp_path / "mine").read(4)


def test_a_wish_lies_in_its_clients_folder(tmp_path):
    for name in ("train/ann/1.png", "test/ann/2.png", "train/bo/1.png"):
        picture(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text("cup")
    assert "wish" not in ImageFolder(tmp_path).read(4).columns
    (tmp_path / "train" / "ann" / "wish.txt").write_text("glass, like in a church\n")
    table = ImageFolder(tmp_path).read(4)
    assert table.columns["client"] == ("ann", "ann", "bo")
    assert table.columns["wish"] == ("", "glass, like in a church", "")


def test_a_folder_of_ones_own_may_hold_its_wish(tmp_path):
    for name in ("ann/1.png", "ann/old/2.png", "bo/1.png"):
        picture(tmp_path / name)
    folders = Folders((tmp_path / "ann", tmp_path / "bo"))
    assert "wish" not in folders.read(4).columns
    (tmp_path / "ann" / "wish.txt").write_text("glass, like in a church\n")
    table = folders.read(4)
    assert table.columns["client"] == ("ann", "ann", "bo")
    assert table.columns["wish"] == ("glass, like in a church", "glass, like in a church", "")


def test_text_captions_from_beside_and_one_for_all(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    metadata(tmp_path / "metadata.jsonl", [{"file_name": "a.png", "text": "a cup"}, {"file_name": "b.png", "kind": 1}])
    (tmp_path / "b.txt").write_text("a hat")
    table = ImageFolder(tmp_path).read(4)
    assert table.captions == ("a cup", "a hat")
    assert table.columns["kind"] == ("", "1")
    assert [s.name for s in table.skipped] == ["c.png"]
    assert ImageFolder(tmp_path, caption="a thing").read(4).captions == ("a cup", "a hat", "a thing")
    metadata(tmp_path / "metadata.jsonl", [{"file_name": "b.png", "kind": 1}])
    assert ImageFolder(tmp_path).read(4).captions == ("a hat",)


def test_what_is_not_utf8_is_named(tmp_path):
    picture(tmp_path / "ann" / "a.png")
    picture(tmp_path / "ann" / "b.png")
    (tmp_path / "ann" / "a.txt").write_text("a cup")
    (tmp_path / "ann" / "b.txt").write_bytes(b"caf\xe9")
    (skipped,) = ImageFolder(tmp_path).read(4).skipped
    assert (skipped.name, skipped.reason) == ("ann/b.png", "b.txt is not UTF-8 text (byte 3); save it as UTF-8")
    (tmp_path / "ann" / "wish.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"ann: wish\.txt is not UTF-8 text"):
        ImageFolder(tmp_path).read(4)


def test_people_without_pictures_are_named(tmp_path):
    picture(tmp_path / "ann" / "a.png")
    (tmp_path / "ann" / "a.txt").write_text("a cup")
    (tmp_path / "bo").mkdir()
    (tmp_path / "cy").mkdir()
    (tmp_path / "cy" / "a.png").write_bytes(b"")
    assert [(s.name, s.reason) for s in ImageFolder(tmp_path).read(4).skipped] == [
        ("cy/a.png", "an empty file"),
        ("cy", "a client without a usable picture"),
        ("bo", "a folder without pictures"),
    ]


def test_help_where_there_is_no_caption_at_all(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: no caption; write a \.txt beside it, or set caption for all$"):
        ImageFolder(tmp_path).read(4)
