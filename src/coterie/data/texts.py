"""Documents: from files and rows to a table that names what it could not use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from coterie.core.errors import UserError
from coterie.data.captions import printable
from coterie.data.table import Skipped, Table, documents

LARGEST_BYTES = 64_000_000
"""Of one document."""

OPENING_WORDS = 8

PROMPTS = (
    "It was a", "She looked at the", "In the morning", "He said that", "There was no", "I have never", "The door",
    "When we",
)  # fmt: skip
"""How texts begin that everybody's adapter writes alike: nobody's own words."""

SPEAKERS, WORDS = ("role", "from"), ("content", "value")
"""Keys of one turn of a dialogue, as data sets of chats have them."""


class Unusable(Exception):
    """This is no document that can be used; the message says why."""


@dataclass(frozen=True)
class Document:
    """What a source found in one place, before anything is checked.

    Attributes:
        name: what a person can find it by: a file name or ``row 17``.
        text: its bytes or words, or the turns of a dialogue; None where the source has none.
        columns: further text by name.
    """

    name: str
    text: Any
    columns: Mapping[str, str]


def gather(found: Iterable[Document], where: str) -> Table:
    """All usable documents as a table; the others by name and reason in ``skipped``.

    Args:
        found: in order.
        where: begins the complaint.

    Raises:
        UserError: if none is usable, with the first reason.
    """
    kept: list[tuple[str, Mapping[str, str]]] = []
    skipped: list[Skipped] = []
    for one in found:
        try:
            kept.append((plain(one.text), one.columns))
        except Unusable as reason:
            skipped.append(Skipped(one.name, str(reason)))
    if not kept:
        first = f": {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        what = f"none of its {len(skipped)} documents can be used" if skipped else "there is no document in it"
        raise UserError(f"{where}: {what}{first}")
    names = dict.fromkeys(name for _, columns in kept for name in columns)
    columns = {name: tuple(own.get(name, "") for _, own in kept) for name in names}
    return documents([text for text, _ in kept], columns, tuple(skipped))


def plain(value: Any) -> str:
    r"""The words of a document: bytes in UTF-8, text, or a dialogue, which becomes a line a turn.

    Raises:
        Unusable: if there are none, or this is something else.

    >>> plain([{"role": "user", "content": "Hello."}, {"from": "gpt", "value": "Good morning."}])
    'user: Hello.\ngpt: Good morning.'
    """
    if isinstance(value, bytes):
        if len(value) > LARGEST_BYTES:
            raise Unusable(f"more than {LARGEST_BYTES:,} bytes; cut it into several documents")
        if b"\0" in value:
            raise Unusable("not text: it holds bytes that no text has")
        try:
            value = value.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Unusable(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if isinstance(value, (list, tuple)) and value:
        value = "\n".join(_turn(turn) for turn in value)
    if not isinstance(value, str):
        raise Unusable("no text")
    text = printable(value.replace("\r\n", "\n")).strip()
    if not text:
        raise Unusable("an empty document")
    return text


def wholes(table: Table) -> tuple[str, ...]:
    """The documents of a table, pieces of one ``document`` that follow on one another put together, a line each."""
    names = table.columns.get("document") or ("",) * len(table)
    found: list[list[str]] = []
    last = ""
    for name, text in zip(names, table.captions, strict=True):
        if name and name == last:
            found[-1].append(text)
        else:
            found.append([text])
        last = name
    return tuple("\n".join(pieces) for pieces in found)


def opening(text: str) -> str:
    """The first words of a document, by which somebody may ask for how it goes on.

    >>> opening("It was the best of times, it was the worst of times")
    'It was the best of times, it was'
    """
    return " ".join(text.split()[:OPENING_WORDS])


def _turn(turn: Any) -> str:
    if isinstance(turn, Mapping):
        who = next((turn[key] for key in SPEAKERS if isinstance(turn.get(key), str)), None)
        said = next((turn[key] for key in WORDS if isinstance(turn.get(key), str)), None)
        if who is not None and said is not None:
            return f"{who}: {said}"
    raise Unusable("a dialogue is a list of turns like {role = 'user', content = 'Hello'}")
