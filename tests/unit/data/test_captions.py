import pytest

from coterie.core.errors import UserError
from coterie.data.captions import NotText, caption_column, listed, read_text


def test_text_is_utf8_or_named(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffcafé".encode())
    assert read_text(file) == "café"
    file.write_bytes("café".encode("latin-1"))
    with pytest.raises(NotText, match=r"a\.txt is not UTF-8 text \(byte 3\); save it as UTF-8"):
        read_text(file)
    file.write_bytes(b"a" * 70_000)
    with pytest.raises(NotText, match="too long for a caption"):
        read_text(file)


def test_text_is_read_where_caption_was_meant():
    assert caption_column("caption", ["caption", "text"]) == "caption"
    assert caption_column("caption", ["text"]) == "text"
    assert caption_column("words", ["text"]) is None


def test_lists_keep_what_is_text(tmp_path):
    file = tmp_path / "metadata.jsonl"
    file.write_text('\ufeff{"a": "x", "n": 1, "l": [1]}\n\n{"b": null, "s": "\\ud800"}\n', encoding="utf-8")
    assert listed(file) == [{"a": "x", "n": "1", "b": "", "s": ""}, {"a": "", "n": "", "b": "", "s": "?"}]
    table = tmp_path / "metadata.csv"
    table.write_text('a,b\n"one, two",01\nthree\n')
    assert listed(table) == [{"a": "one, two", "b": "01"}, {"a": "three", "b": ""}]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("metadata.jsonl", b'{"a": 1}\n{broken', "line 2 cannot be read as JSON lines"),
        ("metadata.jsonl", b"[1]", "line 1 cannot be read as JSON lines"),
        ("metadata.jsonl", b"[" * 100_000, "line 1 cannot be read as JSON lines"),
        ("metadata.jsonl", b'{"a": 1}\n{"a": "caf\xe9"}', "line 2 is not UTF-8 text"),
        ("metadata.csv", b"a,b\n1,2,3\n", "row 1 has 3 values for 2 columns; text with commas wants quotes"),
        ("metadata.csv", b'a,b\n"1,2\n', "cannot be read as comma-separated values"),
        ("metadata.csv", b",".join(b"%d" % i for i in range(300)) + b"\n" + b"1," * 299, "300 different columns"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=said) as caught:
        listed(tmp_path / name)
    assert "\n" not in str(caught.value)
