"""Sets of pictures that are shared out to invented people: what a study needs, whose data is not shipped.

A TOML file says which parquet files there are and who holds what; the files lie elsewhere. Subjects are parted once for
all sets: what is held out for one person is in nobody's training pictures. The subject of a picture is the last word of
its name (``red heart`` and ``blue heart`` are hearts), so that near-doubles stay on one side.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field

from coterie.core.errors import UserError, nearest
from coterie.core.shelf import Problems, validated
from coterie.data.buckets import Cut
from coterie.data.picture import Row, gather, require_some
from coterie.data.shelf import SOURCES
from coterie.data.table import Table

LEAN = 0.7  # of a person's pictures are of the groups of subjects that it leans to


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PictureSet(_Strict):
    """One look: a parquet file or the rows of it in which ``where`` holds.

    Attributes:
        path: of the file, in the folder of the data.
        caption: with columns in braces, like ``{name}``.
        subject: likewise; its last word decides the side on which a picture is.
        group: likewise: the kind of subject; empty where the file has none.
        where: columns and the value that they must have.
        words: how many of the subject's last words count; 0 is the whole of it.
    """

    path: str
    caption: str = "{name}"
    subject: str = "{name}"
    group: str = ""
    where: dict[str, Any] = Field(default_factory=dict)
    words: int = Field(1, ge=0)


class Person(_Strict):
    """Somebody who holds pictures of one set, or of several in equal parts.

    Attributes:
        sets: their names.
        wishes: a sentence by kind: ``named``, ``paraphrased``, ``purpose``.
        leaning: groups of subjects that most of its pictures are of.
        where: columns and the value that they must have.
        held_where: the same for held-out pictures, where these are others than ``where`` says.
        apart: why this person is reported apart; empty for everybody else.
    """

    sets: tuple[str, ...] = Field(min_length=1)
    wishes: dict[str, str]
    leaning: tuple[str, ...] = ()
    where: dict[str, Any] = Field(default_factory=dict)
    held_where: dict[str, Any] | None = None
    apart: str = ""


@dataclass(frozen=True)
class _Known:
    """A row of a set before its picture is opened."""

    set: str
    index: int
    caption: str
    subject: str
    group: str
    held: bool
    row: Mapping[str, Any]


@SOURCES.register("people")
@dataclass(frozen=True)
class People:
    """Pictures of several parquet files, shared out to people that a TOML file describes.

    Attributes:
        file: the TOML file: ``held``, the share of subjects that is held out, ``[sets.NAME]`` and ``[people.NAME]``.
        folder: in which the parquet files lie.
        each: at most so many people of each set; 0 is all. Those that are reported apart do not count.
        only_looks: leaves out those who are reported apart.
        train: pictures that a person learns from.
        held_out: pictures that a person is measured on.
    """

    file: Path
    folder: Path = Path(".")
    each: Annotated[int, Ge(0)] = 0
    only_looks: bool = False
    train: Annotated[int, Ge(1)] = 12
    held_out: Annotated[int, Ge(1)] = 8

    def read(self, cut: Cut) -> Table:
        """The people's pictures, with ``person style split subject group wish_KIND`` as columns.

        Raises:
            UserError: if a file is missing or damaged, a key is wrong, or there are too few pictures for somebody.
        """
        _, people, _ = self.described()
        chosen = self.chosen(people)
        rows = [
            Row(f"{one.set} row {one.index}", _bytes(one), one.caption,
                self._columns(one, people[name]) | {"person": name, **_wishes(people[name])})
            for name, held in self.shares().items()
            if name in chosen
            for one in held
        ]  # fmt: skip
        return require_some(gather(rows, cut), str(self.file))

    def rest(self, cut: Cut, held_out_only: bool = False) -> Table:
        """All pictures of the people's sets that nobody in the file learns from, as ``style split subject group``, and
        in the column ``holder`` whose held-out picture it is, if anybody's.
        """
        taken = {(one.set, one.index): name for name, held in self.shares().items() for one in held}
        rows = (
            Row(f"{one.set} row {one.index}", _bytes(one), one.caption,
                self._columns(one, None) | {"holder": taken.get((one.set, one.index), "")})
            for rows in self.known().values()
            for one in rows
            if one.held or ((one.set, one.index) not in taken and not held_out_only)
        )  # fmt: skip
        return gather(rows, cut)

    def described(self) -> tuple[dict[str, PictureSet], dict[str, Person], float]:
        """Sets and people by name, and the share of subjects that is held out.

        Raises:
            UserError: with the key that is wrong.
        """
        path = Path(self.file)
        try:
            plain = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: no such file of people: {error.strerror}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UserError(f"{path}: not TOML: {error}") from error
        try:
            strange = [key for key in plain if key not in ("held", "sets", "people")]
            if strange:
                raise Problems([(strange[0], f"unknown key{nearest(strange[0], ('held', 'sets', 'people'))}")])
            sets = {name: validated(PictureSet, t, f"sets.{name}") for name, t in plain.get("sets", {}).items()}
            people = {name: validated(Person, t, f"people.{name}") for name, t in plain.get("people", {}).items()}
        except Problems as problems:
            raise UserError("\n".join(f"{path}: {key}: {text}" for key, text in problems.items)) from problems
        if not people:
            raise UserError(f"{path}: there are no people; wanted tables [people.NAME]")
        for name, person in people.items():
            for one in person.sets:
                if one not in sets:
                    raise UserError(f"{path}: people.{name}.sets: no set is called {one!r}{nearest(one, sets)}")
        held = plain.get("held", 0.3)
        if not isinstance(held, float) or not 0 < held < 1:
            raise UserError(f"{path}: held: {held!r} is not above 0 and below 1")
        return sets, people, held

    def chosen(self, people: Mapping[str, Person]) -> list[str]:
        """Names of the people who take part."""
        counts: dict[str, int] = {}
        found = []
        for name, person in people.items():
            counts[person.sets[0]] = counts.get(person.sets[0], 0) + (not person.apart)
            if person.apart and self.only_looks:
                continue
            if person.apart or not self.each or counts[person.sets[0]] <= self.each:
                found.append(name)
        return found

    def apart(self) -> dict[str, str]:
        """People who are reported apart, and why."""
        if self.only_looks:
            return {}
        return {name: person.apart for name, person in self.described()[1].items() if person.apart}

    def known(self) -> dict[str, list[_Known]]:
        """All rows of the sets that somebody holds, in the files' order, no picture opened."""
        sets, people, held = self.described()
        used = list(dict.fromkeys(name for person in people.values() for name in person.sets))
        return {name: list(_rows(name, sets[name], Path(self.folder) / sets[name].path, held)) for name in used}

    def shares(self) -> dict[str, list[_Known]]:
        """What each person of the file holds, first to learn from and then held out, whoever takes part.

        No two people hold the same picture, and each picture's turn is decided by a digest of the person and it.
        """
        _, people, _ = self.described()
        known, taken = self.known(), set[tuple[str, int]]()
        found = {}
        for name, person in people.items():
            mine: list[_Known] = []
            for side, wanted in ((False, self.train), (True, self.held_out)):
                where = person.where if person.held_where is None or not side else person.held_where
                for k, one in enumerate(person.sets):
                    count = wanted * (k + 1) // len(person.sets) - wanted * k // len(person.sets)
                    free = [
                        row for row in known[one]
                        if row.held == side and (one, row.index) not in taken
                        and all(row.row.get(key) == value for key, value in where.items())
                    ]  # fmt: skip
                    got = _drawn(name, free, person.leaning, count)
                    if len(got) < count:
                        what = "to hold out" if side else "to learn from"
                        raise UserError(f"{self.file}: people.{name}: {one} has {len(got)} pictures {what} for {count}")
                    taken |= {(one, row.index) for row in got}
                    mine += got
            found[name] = mine
        return found

    def _columns(self, one: _Known, person: Person | None) -> dict[str, str]:
        style = one.set if person is None or len(person.sets) == 1 else " and ".join(person.sets)
        columns = {"style": style, "split": "held-out" if one.held else "train", "subject": one.subject}
        return {**columns, "group": one.group}


def of_folder(source: People, folder: Path) -> People:
    """The same people with the data elsewhere."""
    return replace(source, folder=folder)


def _rows(name: str, chosen: PictureSet, path: Path, held: float) -> Iterator[_Known]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"{path}: no such file; say where the data lies with --data DIR")
    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: not a parquet file that can be read") from error
    columns = list(rows[0]) if rows else []
    texts = (chosen.caption, chosen.subject, chosen.group)
    named = [key for text in texts for _, key, _, _ in Formatter().parse(text) if key is not None]
    for key in ("image", *named, *chosen.where):
        if key not in columns:
            raise UserError(f"{path}: has no column {key!r}{nearest(key, columns)}")
    for index, row in enumerate(rows):
        if all(row[key] == value for key, value in chosen.where.items()):
            caption, subject, group = (text.format_map(row) for text in texts)
            words = subject.casefold().split()
            head = " ".join(words[-chosen.words :] if chosen.words else words)
            yield _Known(name, index, caption, subject, group, _share(f"held/{head}") < held, row)


def _drawn(person: str, free: list[_Known], leaning: tuple[str, ...], count: int) -> list[_Known]:
    """So many rows, most of them of the groups that the person leans to where there are enough."""
    order = sorted(free, key=lambda row: _share(f"{person}/{row.set}/{row.index}"))
    liked = [row for row in order if row.group.split("/")[0] in leaning][: round(LEAN * count)]
    first = {row.index for row in liked}
    rest = [row for row in order if row.index not in first]
    return [*liked, *rest][:count]


def _wishes(person: Person) -> dict[str, str]:
    return {f"wish_{kind}": text for kind, text in person.wishes.items()}


def _bytes(one: _Known) -> bytes | None:
    image = one.row["image"]
    data = image.get("bytes") if isinstance(image, dict) else image
    return data if isinstance(data, bytes) else None


def _share(text: str) -> float:
    """A number in [0, 1) that a text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
