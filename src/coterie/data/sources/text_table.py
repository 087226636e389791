"""Documents or dialogues from a table: a parquet, JSON-lines or CSV file, or a data set of the Hugging Face hub."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from coterie.core.errors import UserError, nearest
from coterie.core.place import Place
from coterie.data.buckets import Cut
from coterie.data.captions import plain_text, printable
from coterie.data.shelf import SOURCES
from coterie.data.sources.hub import loaded
from coterie.data.table import Table
from coterie.data.texts import Document, gather
from coterie.data.topics import with_topics

BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}
"""What ``datasets`` calls its readers of files, by ending."""


@SOURCES.register("text_table")
@dataclass(frozen=True)
class TextTable:
    """One row a document, or a piece of one; other columns come along as text.

    A column ``split`` says what is held out (``test``, ``validation``); without one, rows of one ``document`` are held
    out together.

    Attributes:
        path: a file that ends in .parquet, .jsonl, .json or .csv, an id of the hub, or a folder that ``datasets`` can
            load.
        text_column: words, or a dialogue: a list of turns with ``role`` and ``content``, of which each becomes a line.
        document_column: names the document that a row is a piece of; empty where every row is a document of its own.
        joined: so many rows one after another are a document, where no column names any: sentences, say; 0 joins none.
        topics: so many groups of documents of alike words, in the column ``topic``, by which ``dirichlet`` can share
            them out; 0 makes no such column.
        only: rows whose column has a value, like ``{ author = "austen" }`` or ``{ author = ["austen", "doyle"] }``.
        config: which part of a data set that has several; empty is its only or default one.
        split: which rows of a data set, like ``train`` or ``train[:200]``.
        revision: branch, tag or commit on the hub; empty is the newest. A commit makes a run repeatable.
    """

    holds: ClassVar = "texts"

    path: Annotated[str, Place(or_id=True)]
    text_column: str = "text"
    document_column: str = ""
    joined: Annotated[int, Ge(0)] = 0
    topics: Annotated[int, Ge(0)] = 0
    only: Mapping[str, str | list[str]] = field(default_factory=dict)
    config: str = ""
    split: str = "train"
    revision: str = ""

    def read(self, cut: Cut = 0) -> Table:
        """All usable rows; columns of text, numbers and truth values come along as text.

        Raises:
            UserError: if the table cannot be had, a column is not there, or no row is usable.
        """
        with tempfile.TemporaryDirectory() as cache:
            table = gather(self._rows(cache), self.path)
        if not self.topics:
            return table
        try:
            return with_topics(table, self.topics)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None

    def _rows(self, cache: str) -> Iterator[Document]:
        rows = self._loaded(cache)
        names = list(rows.features)
        for key, name in [("text_column", self.text_column), ("document_column", self.document_column)]:
            if name and name not in names:
                raise UserError(f"{key}: {self.path} has no column {name!r}{nearest(name, names[:50])}")
        wanted = {key: {value} if isinstance(value, str) else set(value) for key, value in self.only.items()}
        for key in wanted:
            if key not in names:
                raise UserError(f"only: {self.path} has no column {key!r}{nearest(key, names[:50])}")
        counts: Counter[str] = Counter()
        for index, row in enumerate(rows):
            texts = {printable(key): plain_text(value) for key, value in row.items() if key != self.text_column}
            columns = {key: value for key, value in texts.items() if value is not None}
            if any(columns.get(key, "") not in values for key, values in wanted.items()):
                continue
            if self.document_column:
                columns["document"] = columns.get(self.document_column, "")
            elif self.joined:
                split = columns.get("split", "")
                columns["document"] = f"{split} {counts[split] // self.joined}"
                counts[split] += 1
            yield Document(f"row {index}", row[self.text_column], columns)

    def _loaded(self, cache: str) -> Any:
        path = Path(self.path)
        if not path.is_file():
            if path.suffix in BUILDERS and not path.exists():
                raise UserError(f"{path}: no such file")
            return loaded(self.path, self.config, self.split, self.revision, cache)
        if path.suffix.lower() not in BUILDERS:
            raise UserError(f"{path}: not a table of a known kind; wanted a file that ends in {', '.join(BUILDERS)}")
        from datasets import load_dataset
        from datasets.utils.logging import disable_progress_bar

        disable_progress_bar()
        try:
            reader = BUILDERS[path.suffix.lower()]
            return load_dataset(reader, data_files=str(path), split="train", cache_dir=cache, keep_in_memory=True)
        except Exception as error:  # readers of three formats raise what they like
            cause: BaseException = error.__cause__ or error
            said = " ".join(str(cause).split())[:200] or type(cause).__name__
            raise UserError(f"{path}: not a table that can be read: {said}") from None
