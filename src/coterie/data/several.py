"""Several folders of one person beside each other, each a client of its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from coterie.core.errors import UserError
from coterie.data import subfolders
from coterie.data.table import Table, joined

Within = Callable[[Path], tuple[list[Path], int]]
"""The folders in a folder that hold something usable, and how much of that lies beside them."""


def names_of(folders: Sequence[Path]) -> list[str]:
    """What the folders are called, which is what their clients are called.

    Raises:
        UserError: if there is no folder, or two have one name.
    """
    if not folders:
        raise UserError("paths: no folder is given")
    names = [folder.resolve().name for folder in folders]
    for index, name in enumerate(names):
        if name in names[:index]:
            first = folders[names.index(name)]
            raise UserError(f"{first} and {folders[index]}: two folders are called {name!r}; rename one")
    return names


def beside_each_other(folders: Sequence[Path], tables: Sequence[Table]) -> Table:
    """One table of what each folder holds, with the folder's name in the column ``client``.

    A ``wish.txt`` in a folder is the wish of all that it holds. Wishes stay, which document a row is of, and which part
    of a split; other columns are the folders' own and left out.

    Raises:
        UserError: if two folders have one name, or a wish cannot be read.
    """
    names = names_of(folders)
    tables = [_wishing(table, subfolders.wish_in(folder)) for folder, table in zip(folders, tables, strict=True)]
    columns = {"client": tuple(name for name, table in zip(names, tables, strict=True) for _ in table.captions)}
    for column, prefixed in (("document", True), ("wish", False), ("split", False)):
        values = [
            f"{name}/{value}" if prefixed and value else value
            for name, table in zip(names, tables, strict=True)
            for value in table.columns.get(column, ("",) * len(table))
        ]
        if any(values):
            columns[column] = tuple(values)
    skipped = (
        replace(one, name=f"{name}/{one.name}")
        for name, table in zip(names, tables, strict=True)
        for one in table.skipped
    )
    captions = tuple(caption for table in tables for caption in table.captions)
    return Table(joined([table.pixels for table in tables]), captions, columns, tuple(skipped))


def _wishing(table: Table, wish: str) -> Table:
    return replace(table, columns={**table.columns, "wish": (wish,) * len(table)}) if wish else table


def require_no_shelves(folders: Sequence[Path], within: Within, what: str) -> None:
    """Refuses a folder of folders: one adapter of all that lies in them is hardly what is wanted.

    Args:
        folders: that are to become an adapter each.
        within: what is in one.
        what: they hold, in the plural.

    Raises:
        UserError: with the command that trains an adapter of each.
    """
    for folder in folders:
        inside, beside = within(folder)
        if len(inside) > 1 and not beside:
            raise UserError(
                f"{folder}: holds {len(inside)} folders of {what} and none of its own; an adapter for each is made "
                f"with: coterie train {_each_in(folder)}"
            )


def mixed_with_folders(folders: Sequence[Path], within: Within, what: str) -> list[str]:
    """A sentence for each folder that has something of its own and folders of the like beside it."""
    found = [(folder, within(folder)) for folder in folders]
    return [
        f"{folder} holds {len(inside)} folder{'' if len(inside) == 1 else 's'} of {what} beside its own, and all "
        f"teach its one adapter; each its own: coterie train {_each_in(folder)}"
        for folder, (inside, beside) in found
        if inside and beside
    ]


def _each_in(folder: Path) -> str:
    """For a shell: the folders in a folder, without the files beside them."""
    return f"{shlex.quote(str(folder))}/*/"
