"""Documents from folders and tables: what is read, what is skipped and why, and what is refused in one line."""

import json

import pytest

from coterie.core.errors import UserError
from coterie.data.partition import hold_out
from coterie.data.shelf import SOURCES
from coterie.data.texts import opening, wholes
from coterie.runs.look import Asked, source_of


def read(name, path, **more):
    return SOURCES.build({"name": name, "path": str(path), **more}).read(0)


def refused(name, path, **more):
    with pytest.raises(UserError) as error:
        read(name, path, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "texts"
    for client in ("ada", "bo"):
        (root / client / "letters").mkdir(parents=True)
        (root / client / "one.txt").write_text(f"{client} wrote this.\r\nAnd this.")
        (root / client / "letters" / "two.md").write_text(f"a letter of {client}")
    (root / "ada" / "wish.txt").write_text("sea\nstories")
    return root


def test_a_folder_of_folders_is_read_by_client(folder):
    table = read("text_folder", folder)
    assert table.is_documents
    assert table.columns["client"] == ("ada", "ada", "bo", "bo")
    assert table.columns["document"] == ("ada/letters/two.md", "ada/one.txt", "bo/letters/two.md", "bo/one.txt")
    assert table.captions[1] == "ada wrote this.\nAnd this."
    assert set(table.columns["wish"]) == {"sea stories", ""}


def test_what_cannot_be_used_is_named(folder):
    (folder / "bo" / "empty.txt").write_text(" \n")
    (folder / "bo" / "latin.txt").write_bytes("schön".encode("latin-1"))
    (folder / "bo" / "binary.txt").write_bytes(b"a\0b")
    table = read("text_folder", folder)
    assert {one.name: one.reason for one in table.skipped} == {
        "bo/binary.txt": "not text: it holds bytes that no text has",
        "bo/empty.txt": "an empty document",
        "bo/latin.txt": "not UTF-8 text (byte 3); save it as UTF-8",
    }
    assert len(table) == 4


def test_folders_without_documents_are_refused(tmp_path):
    assert refused("text_folder", tmp_path / "no") == f"{tmp_path}/no: no such folder"
    assert "there is no document in it (.txt, .md)" in refused("text_folder", tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    assert "it holds 1 pictures, which the source image_folder reads" in refused("text_folder", tmp_path)
    (tmp_path / "b.txt").write_text("")
    assert "none of its 1 documents can be used: b.txt: an empty document" in refused("text_folder", tmp_path)


def rows_file(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_tables_of_text_and_of_dialogues(tmp_path):
    rows = [{"text": f"paragraph {i}", "who": "ab"[i % 2], "book": f"b{i // 3}", "n": i} for i in range(12)]
    path = rows_file(tmp_path / "rows.jsonl", rows)
    table = read("text_table", path, document_column="book", only={"who": "a"})
    assert len(table) == 6
    assert table.columns["n"] == ("0", "2", "4", "6", "8", "10")
    assert wholes(table) == ("paragraph 0\nparagraph 2", "paragraph 4", "paragraph 6\nparagraph 8", "paragraph 10")
    talk = [{"chat": [{"role": "user", "content": "Hello"}, {"role": "bot", "content": "Good day"}]}, {"chat": []}]
    table = read("text_table", rows_file(tmp_path / "talk.jsonl", talk), text_column="chat")
    assert table.captions == ("user: Hello\nbot: Good day",)
    assert [one.reason for one in table.skipped] == ["no text"]


def test_rows_can_be_joined_to_documents_within_a_split(tmp_path):
    rows = [{"text": f"line {i}", "split": "train" if i < 5 else "test"} for i in range(8)]
    table = read("text_table", rows_file(tmp_path / "rows.jsonl", rows), joined=2)
    assert wholes(table) == ("line 0\nline 1", "line 2\nline 3", "line 4", "line 5\nline 6", "line 7")


def test_whole_documents_are_held_out_together(tmp_path):
    rows = [{"text": f"paragraph {i}", "book": f"b{i // 4}"} for i in range(40)]
    table = read("text_table", rows_file(tmp_path / "rows.jsonl", rows), document_column="book")
    train, held_out = hold_out(table, range(40), 0.25, 0)
    books = table.columns["document"]
    assert not {books[i] for i in train} & {books[i] for i in held_out}
    assert len(held_out) == 8


def test_tables_that_cannot_be_read_are_refused(tmp_path):
    path = rows_file(tmp_path / "rows.jsonl", [{"text": "a", "author": "x"}])
    assert "text_column: " in refused("text_table", path, text_column="txt")
    assert "only: " in refused("text_table", path, only={"auther": "x"})
    assert "no such file" in refused("text_table", tmp_path / "no.parquet")
    (tmp_path / "bad.jsonl").write_text("{ nothing")
    assert "not a table that can be read" in refused("text_table", tmp_path / "bad.jsonl")
    assert "wanted a file that ends in" in refused("text_table", _file(tmp_path / "a.xyz"))
    assert "there is no document in it" in refused("text_table", path, only={"author": "y"})


def _file(path):
    path.write_text("x")
    return path


def test_openings_are_whole_words():
    assert opening("one  two\nthree") == "one two three"


@pytest.fixture
def library(tmp_path):
    """Two authors with ten passages each, eight of them to learn from, and three readers."""
    from datasets import Dataset

    rows = [
        {"author": author, "split": "test" if i in (5, 9) else "validation" if i == 4 else "train",
         "chapter": f"{i // 5}", "text": f"{author} passage {i}. " + "word " * (i + 1)}
        for author in ("austen", "milton")
        for i in range(10)
    ]  # fmt: skip
    Dataset.from_list(rows).to_parquet(tmp_path / "books.parquet")
    (tmp_path / "people.toml").write_text(
        '[readers.ada]\nreads = "austen"\nwishes = { named = "like Austen" }\n[readers.bo]\nreads = "milton"\n'
        '[readers.cy]\nreads = "austen"\n'
    )
    return tmp_path


def readers(library, **more):
    return SOURCES.build(
        {"name": "readers", "file": str(library / "people.toml"), "books": str(library / "books.parquet"), **more}
    )


def test_readers_of_one_author_hold_parts_that_no_other_has(library):
    table = readers(library).read(0)
    assert table.is_documents
    assert len(set(table.captions)) == len(table) == 2 * 9  # all but the rows `validation`
    whose = list(zip(table.columns["person"], table.columns["split"], table.captions, strict=True))
    for side in ("train", "test"):
        ada, cy = ([text for who, part, text in whose if (who, part) == (name, side)] for name in ("ada", "cy"))
        assert ada, side
        assert cy, side
        assert all(text.startswith("austen") for text in (*ada, *cy))
        assert max(map(len, ada)) < min(map(len, cy))  # one run before the other: passages grow
        assert abs(sum(map(len, ada)) - sum(map(len, cy))) <= max(map(len, (*ada, *cy)))
    pairs = set(zip(table.columns["person"], table.columns["style"], strict=True))
    assert pairs == {("ada", "austen"), ("bo", "milton"), ("cy", "austen")}
    assert table.columns["wish_named"][0] == "like Austen"
    assert set(table.columns["document"]) == {"austen: 0", "austen: 1", "milton: 0", "milton: 1"}


def test_readers_take_as_many_letters_as_they_are_given(library):
    table = readers(library, letters=40, held_out=1).read(0)
    of_bo = [
        (split, text)
        for who, split, text in zip(table.columns["person"], table.columns["split"], table.captions, strict=True)
        if who == "bo"
    ]
    assert [split for split, _ in of_bo] == ["train", "train", "test"]
    assert sum(len(text) for split, text in of_bo if split == "train") >= 40


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[readers.ada]\nreads = "austin"\n', "readers.ada.reads: no such author; did you mean 'austen'?"),
        ('[readers.ada]\nread = "austen"\n', "readers.ada.read: unknown key; did you mean 'reads'?"),
        ("[people.ada]\n", "people: unknown key"),
        ("", "there are no readers; wanted tables [readers.NAME]"),
        ("".join(f'[readers.r{i}]\nreads = "milton"\n' for i in range(3)), "too few passages of milton in 'test'"),
        ("[readers", "not TOML"),
    ],
)
def test_wrong_readers_are_refused_in_one_line(library, text, said):
    (library / "people.toml").write_text(text)
    with pytest.raises(UserError) as error:
        readers(library).read(0)
    assert "\n" not in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("ending", [".txt", ".md"])
def test_a_folder_of_documents_is_known_by_either_ending(tmp_path, ending):
    (tmp_path / f"one{ending}").write_text("A letter.")
    assert source_of(str(tmp_path), Asked()).shelf_name == "text_folder"
