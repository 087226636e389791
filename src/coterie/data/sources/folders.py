"""Several folders of pictures, each a client of its own: what one person trains many adapters from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coterie.core.errors import UserError, nearest
from coterie.data.buckets import Cut
from coterie.data.shelf import SOURCES
from coterie.data.sources.image_folder import ImageFolder, folders_within
from coterie.data.table import Skipped, Table, joined


@SOURCES.register("folders")
@dataclass(frozen=True)
class Folders:
    """Every folder is read like ``image_folder`` and is one client, named like the folder.

    A picture without a caption is captioned by its folder's trigger, or by the folder's name where there is none.

    Attributes:
        paths: the folders.
        triggers: by folder's name: a word put before each of its captions, to call what was learned by.
        caption_column: of metadata files.
    """

    paths: tuple[Path, ...]
    triggers: Mapping[str, str] = field(default_factory=dict)
    caption_column: str = "caption"

    def read(self, cut: Cut) -> Table:
        """All usable pictures cut to size, with their folder's name in the column ``client``.

        Raises:
            UserError: if there is no folder, two have one name, a trigger is for none of them, or one cannot be read.
        """
        if not self.paths:
            raise UserError("paths: no folder is given")
        names = [folder.resolve().name for folder in self.paths]
        for index, name in enumerate(names):
            if name in names[:index]:
                first = self.paths[names.index(name)]
                raise UserError(f"{first} and {self.paths[index]}: two folders are called {name!r}; rename one")
        for name in self.triggers:
            if name not in names:
                raise UserError(f"triggers: no folder is called {name!r}{nearest(name, names)}")
        tables = [self._one(folder, name, cut) for folder, name in zip(self.paths, names, strict=True)]
        counts = [len(table) for table in tables]
        wishes = [wish for table in tables for wish in table.columns.get("wish", ("",) * len(table))]
        columns = {"client": tuple(name for name, n in zip(names, counts, strict=True) for _ in range(n))}
        if any(wishes):
            columns["wish"] = tuple(wishes)
        skipped = (
            Skipped(f"{name}/{one.name}", one.reason)
            for name, table in zip(names, tables, strict=True)
            for one in table.skipped
        )
        return Table(
            joined([table.pixels for table in tables]),
            tuple(caption for table in tables for caption in table.captions),
            columns,
            tuple(skipped),
        )

    def _one(self, folder: Path, name: str, cut: Cut) -> Table:
        trigger = self.triggers.get(name, "")
        table = ImageFolder(folder, self.caption_column, caption=trigger or name).read(cut)
        if not trigger:
            return table
        captions = tuple(c if c.startswith(trigger) else f"{trigger}, {c}" for c in table.captions)
        return Table(table.pixels, captions, table.columns, table.skipped)


def require_no_shelves(folders: Sequence[Path]) -> None:
    """Refuses a folder of folders: one adapter of all that lies in them is hardly what is wanted.

    Raises:
        UserError: with the command that trains an adapter of each.
    """
    for folder in folders:
        inside, beside = folders_within(folder)
        if len(inside) > 1 and not beside:
            raise UserError(
                f"{folder}: holds {len(inside)} folders of pictures and none of its own; an adapter for each is made "
                f"with: coterie train {_each_in(folder)}"
            )


def mixed_with_folders(folders: Sequence[Path]) -> list[str]:
    """A sentence for each folder that has pictures of its own and folders of pictures beside them."""
    found = [(folder, folders_within(folder)) for folder in folders]
    return [
        f"{folder} holds {len(inside)} folder{'' if len(inside) == 1 else 's'} of pictures beside its own, and all "
        f"teach its one adapter; each its own: coterie train {_each_in(folder)}"
        for folder, (inside, beside) in found
        if inside and beside
    ]


def _each_in(folder: Path) -> str:
    """For a shell: the folders in a folder, without the files beside them."""
    return f"{shlex.quote(str(folder))}/*/"
