"""Books shared out to invented readers: each has a part of one author's text that no other reader has.

A TOML file says who reads whom and what they wish for; the books are a table of passages in reading order. The passages
that an author has to learn from are cut into as many runs as there are readers, each of about the same length, and so
are those that are held out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field

from coterie.core.errors import UserError, nearest
from coterie.core.shelf import Problems, validated
from coterie.data.buckets import Cut
from coterie.data.shelf import SOURCES
from coterie.data.sources.text_table import TextTable
from coterie.data.table import Table, documents

SIDES = ("train", "test")


class Reader(BaseModel):
    """Somebody who reads one author.

    Attributes:
        reads: the author, as the table names it.
        wishes: a sentence by kind: ``named``, ``paraphrased``, ``purpose``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads: str
    wishes: dict[str, str] = Field(default_factory=dict)


@SOURCES.register("readers")
@dataclass(frozen=True)
class Readers:
    """Passages of several authors, shared out to readers that a TOML file describes; no two hold the same one.

    Attributes:
        file: the TOML file, a table ``[readers.NAME]`` for each.
        books: a parquet, JSON-lines or CSV file with a row a passage, in reading order, and a column ``split``:
            ``train`` is learned from, ``test`` is held out, other rows are not used.
        author_column: says who wrote a row.
        text_column: words.
        document_column: names what a row is a piece of, like a chapter; pieces that follow one another are put
            together. Empty where every row is a document of its own.
        letters: that a reader learns from, at least where its part has so many; 0 is all of its part.
        held_out: letters that a reader is measured on, likewise.
    """

    holds: ClassVar = "texts"

    file: Path
    books: Path
    author_column: str = "author"
    text_column: str = "text"
    document_column: str = "chapter"
    letters: Annotated[int, Ge(0)] = 0
    held_out: Annotated[int, Ge(0)] = 0

    def read(self, cut: Cut = 0) -> Table:
        """The readers' passages, reader by reader, with ``person style split document wish_KIND`` as columns.

        Raises:
            UserError: if a file is missing or damaged, a key is wrong, or there are too few passages for somebody.
        """
        readers = self.described()
        authors = list(dict.fromkeys(reader.reads for reader in readers.values()))
        rows = TextTable(str(self.books), self.text_column, self.document_column).read()
        for name in (self.author_column, "split"):
            if name not in rows.columns:
                raise UserError(f"{self.books}: has no column {name!r}{nearest(name, rows.columns)}")
        written, split = rows.columns[self.author_column], rows.columns["split"]
        held: dict[tuple[str, str], list[int]] = {}
        for author in authors:
            reading = [name for name, reader in readers.items() if reader.reads == author]
            if author not in written:
                raise UserError(f"{self.file}: readers.{reading[0]}.reads: no such author{nearest(author, written)}")
            for side, letters in zip(SIDES, (self.letters, self.held_out), strict=True):
                some = [i for i, one in enumerate(written) if one == author and split[i] == side]
                parts = cut_evenly(some, [len(rows.captions[i]) for i in some], len(reading))
                for name, part in zip(reading, parts, strict=True):
                    if not part:
                        raise UserError(f"{self.file}: readers.{name}: too few passages of {author} in {side!r}")
                    held[name, side] = beginning(part, [len(rows.captions[i]) for i in part], letters)
        chosen = [(name, side, i) for name in readers for side in SIDES for i in held[name, side]]
        whose = [readers[name] for name, _, _ in chosen]
        kinds = list(dict.fromkeys(kind for reader in readers.values() for kind in reader.wishes))
        columns = {
            "person": tuple(name for name, _, _ in chosen),
            "style": tuple(reader.reads for reader in whose),
            "split": tuple(side for _, side, _ in chosen),
            **{f"wish_{kind}": tuple(reader.wishes.get(kind, "") for reader in whose) for kind in kinds},
        }
        if "document" in rows.columns:
            names = rows.columns["document"]
            columns["document"] = tuple(
                f"{one.reads}: {names[i]}" for one, (_, _, i) in zip(whose, chosen, strict=True)
            )
        return documents([rows.captions[i] for _, _, i in chosen], columns, rows.skipped)

    def described(self) -> Mapping[str, Reader]:
        """Readers by name, in the file's order.

        Raises:
            UserError: with the key that is wrong.
        """
        try:
            plain: dict[str, Any] = tomllib.loads(self.file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{self.file}: no such file of readers: {error.strerror}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UserError(f"{self.file}: not TOML: {error}") from error
        if strange := [key for key in plain if key != "readers"]:
            raise UserError(f"{self.file}: {strange[0]}: unknown key{nearest(strange[0], ['readers'])}")
        people = plain.get("readers")
        if not isinstance(people, dict) or not people:
            raise UserError(f"{self.file}: there are no readers; wanted tables [readers.NAME]")
        try:
            return {name: validated(Reader, table, f"readers.{name}") for name, table in people.items()}
        except Problems as problems:
            raise UserError("\n".join(f"{self.file}: {key}: {text}" for key, text in problems.items)) from problems


def cut_evenly(rows: Sequence[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Rows in order, cut into runs that are about equally long; each row is in the part that its middle lies in.

    >>> cut_evenly([7, 8, 9], [10, 10, 20], 2)
    [[7, 8], [9]]
    """
    found: list[list[int]] = [[] for _ in range(parts)]
    whole, before = sum(lengths), 0
    for row, length in zip(rows, lengths, strict=True):
        found[min(parts - 1, (2 * before + length) * parts // (2 * whole))].append(row)
        before += length
    return found


def beginning(rows: Sequence[int], lengths: Sequence[int], letters: int) -> list[int]:
    """The first rows that together have so many letters, if there are so many; all where ``letters`` is 0.

    >>> beginning([7, 8, 9], [10, 10, 20], 11)
    [7, 8]
    """
    found, count = [], 0
    for row, length in zip(rows, lengths, strict=True):
        if letters and count >= letters:
            break
        found.append(row)
        count += length
    return found
