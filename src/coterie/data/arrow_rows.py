"""Rows of Arrow tables, as parquet files and Hugging Face's ``datasets`` hold them: a picture, a caption, and text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coterie.core.errors import UserError, nearest
from coterie.data.captions import caption_column, plain_text, printable
from coterie.data.picture import Row


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what.

    Attributes:
        image: holds the picture files: an Image feature (``bytes`` and ``path``) or plain bytes.
        caption: holds the captions; None where there are none.
        texts: all others that are plain: text, numbers, truth values, dates.
        labels: the names that numbers in a column stand for, from Hugging Face's notes in the file.
    """

    image: str
    caption: str | None
    texts: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]


def columns_of(where: str, schema: Any, image_column: str, wanted: str, caption: str) -> Columns:
    """The columns of an Arrow schema.

    Args:
        where: begins complaints: the file, or the data set's name.
        schema: of the table.
        image_column: as the user set it.
        wanted: the column of captions, as the user set it.
        caption: for pictures that have none; where there is one, there need be no such column.

    Raises:
        UserError: if a column is not there, with the nearest name.
    """
    import pyarrow as pa

    names = [printable(name) for name in schema.names]
    if image_column not in names:
        raise UserError(f"image_column: {where} has no column {image_column!r}{nearest(image_column, names[:50])}")
    found = caption_column(wanted, names)
    if found is None and not (caption and wanted == "caption"):
        raise UserError(f"caption_column: {where} has no column {wanted!r}{nearest(wanted, names[:50])}")
    for name in (image_column, found):
        if name is not None and names.count(name) > 1:
            raise UserError(f"{where} has {names.count(name)} columns called {name!r}; only one can be meant")
    plain = [
        field.name
        for field in schema
        if field.name not in (image_column, found)
        and names.count(field.name) == 1
        and not (
            pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
        )
    ]
    return Columns(image_column, found, tuple(plain), _labels(schema.metadata or {}))


def rows_of(
    columns: Columns, batches: Iterable[Any], fetch: Callable[[str], bytes | None] = lambda path: None
) -> Iterator[Row]:
    """The rows of Arrow tables or record batches.

    Args:
        columns: from ``columns_of``.
        batches: in order.
        fetch: the bytes of a picture that the table only names; None where they may not or cannot be had. Without it,
            nothing that a file names is opened.
    """
    index = 0
    chosen = [columns.image, *([columns.caption] if columns.caption else []), *columns.texts]
    for batch in batches:
        for row in batch.select(chosen).to_pylist():
            image = row.pop(columns.image)
            caption = plain_text(row.pop(columns.caption)) if columns.caption else ""
            path = image.get("path") if isinstance(image, dict) else None
            path = printable(path) if isinstance(path, str) else ""
            data = image.get("bytes") if isinstance(image, dict) else image
            if data is None and path:
                data = fetch(path)
            name = f"row {index} ({path})" if path else f"row {index}"
            texts = {printable(key): _text(value, columns.labels.get(key)) for key, value in row.items()}
            yield Row(name, data if isinstance(data, bytes) else None, caption, texts)
            index += 1


def _text(value: Any, names: Sequence[str] | None) -> str:
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return printable(str(names[value]))
    return plain_text(value) or ""


def _labels(notes: Mapping[bytes, bytes]) -> dict[str, Sequence[str]]:
    """From ``datasets``' own note in a file; one that cannot be read costs the names, not the file."""
    try:
        features = json.loads(notes.get(b"huggingface", b"{}"))["info"]["features"]
        return {name: about["names"] for name, about in features.items() if about.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
