"""Captions and what else is written about pictures: text files beside them, and lists in JSON lines or as a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError, nearest

LARGEST_TEXT_BYTES = 64_000
"""Of one caption; the widest encoder reads some hundred words."""

MOST_COLUMNS = 256


class NotText(ValueError):
    """These bytes are not text that can be used; the message says why."""


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        NotText: if it is written otherwise, is longer than a caption can be, or cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_TEXT_BYTES + 1)
        if len(data) > LARGEST_TEXT_BYTES:
            raise NotText(f"{path.name} is too long for a caption: more than {LARGEST_TEXT_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotText(f"{path.name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise NotText(f"{path.name} cannot be opened: {error.strerror}") from None


def caption_column(wanted: str, known: Collection[str]) -> str | None:
    """The column that holds the captions: the wanted one, or ``text`` where ``caption`` was meant; None without one."""
    if wanted in known:
        return wanted
    return "text" if wanted == "caption" and "text" in known else None


def plain_text(value: Any) -> str | None:
    """A value of a list as text: absent ones empty; None for what is no text, like lists, tables and bytes."""
    if value is None:
        return ""
    return None if isinstance(value, (list, dict, bytes)) else printable(str(value))


def printable(text: str) -> str:
    """The text with what UTF-8 cannot hold replaced: half characters from JSON, bytes of a file name."""
    return text.encode("utf-8", "replace").decode("utf-8")


def listed(file: Path) -> list[dict[str, str]]:
    """The rows of a ``metadata.jsonl`` or ``metadata.csv``, every one with the same columns.

    Raises:
        UserError: with the line that cannot be read.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{file}: line {line} is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be opened: {error.strerror}") from None
    rows = _from_lines(file, text) if file.suffix == ".jsonl" else _from_table(file, text)
    columns = dict.fromkeys(name for row in rows for name in row)
    if len(columns) > MOST_COLUMNS:
        raise UserError(f"{file}: has {len(columns):,} different columns; at most {MOST_COLUMNS} are read")
    return [{name: row.get(name, "") for name in columns} for row in rows]


def _from_lines(file: Path, text: str) -> list[dict[str, str]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not a table")
        except (ValueError, RecursionError):
            raise UserError(f"{file}: line {number} cannot be read as JSON lines; wanted {{...}} in each") from None
        texts = {printable(name): plain_text(value) for name, value in row.items()}
        rows.append({name: value for name, value in texts.items() if value is not None})
    return rows


def _from_table(file: Path, text: str) -> list[dict[str, str]]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head, *rest = [line for line in lines if line] or [[]]
    except csv.Error as error:
        raise UserError(f"{file}: line {lines.line_num} cannot be read as comma-separated values: {error}") from None
    for number, row in enumerate(rest, 1):
        if len(row) > len(head):
            raise UserError(
                f"{file}: row {number} has {len(row)} values for {len(head)} columns; text with commas wants quotes"
            )
    return [dict(zip(head, row, strict=False)) for row in rest]


def require_file_name(file: Path, row: Mapping[str, str]) -> None:
    """A list must say which pictures it is about.

    Raises:
        UserError: with the nearest column.
    """
    if "file_name" not in row:
        raise UserError(f"{file} has no column 'file_name'{nearest('file_name', row)}")
