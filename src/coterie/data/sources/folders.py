"""Several folders of pictures, each a client of its own: what one person trains many adapters from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from coterie.core.errors import UserError, nearest
from coterie.data.buckets import Cut
from coterie.data.several import beside_each_other, mixed_with_folders, names_of, require_no_shelves
from coterie.data.shelf import SOURCES
from coterie.data.sources.image_folder import ImageFolder, folders_within
from coterie.data.table import Table


@SOURCES.register("folders")
@dataclass(frozen=True)
class Folders:
    """Every folder is read like ``image_folder`` and is one client, named like the folder.

    A picture without a caption is captioned by its folder's trigger, or by the folder's name where there is none. What
    the client wishes for may stand in the folder's ``wish.txt``.

    Attributes:
        paths: the folders.
        triggers: by folder's name: a word put before each of its captions, to call what was learned by.
        caption_column: of metadata files.
    """

    whose: ClassVar = "folders"

    paths: tuple[Path, ...]
    triggers: Mapping[str, str] = field(default_factory=dict)
    caption_column: str = "caption"

    def read(self, cut: Cut) -> Table:
        """All usable pictures cut to size, with their folder's name in the column ``client``.

        Raises:
            UserError: if there is no folder, two have one name, a trigger is for none of them, or one cannot be read.
        """
        names = names_of(self.paths)
        for name in self.triggers:
            if name not in names:
                raise UserError(f"triggers: no folder is called {name!r}{nearest(name, names)}")
        return beside_each_other(self.paths, [self._one(*each, cut) for each in zip(self.paths, names, strict=True)])

    def require_one_each(self) -> None:
        """Refuses a folder of nothing but folders; see ``coterie.data.several``."""
        require_no_shelves(self.paths, folders_within, "pictures")

    def hints(self) -> list[str]:
        """What somebody may not have meant."""
        return mixed_with_folders(self.paths, folders_within, "pictures")

    def _one(self, folder: Path, name: str, cut: Cut) -> Table:
        trigger = self.triggers.get(name, "")
        table = ImageFolder(folder, self.caption_column, caption=trigger or name).read(cut)
        if not trigger:
            return table
        captions = tuple(c if c.startswith(trigger) else f"{trigger}, {c}" for c in table.captions)
        return Table(table.pixels, captions, table.columns, table.skipped)
