"""Several folders of documents, each a client of its own: what one person trains many adapters of a writer from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from coterie.data.buckets import Cut
from coterie.data.several import beside_each_other, mixed_with_folders, require_no_shelves
from coterie.data.shelf import SOURCES
from coterie.data.sources.text_folder import TextFolder, folders_within
from coterie.data.table import Table


@SOURCES.register("text_folders")
@dataclass(frozen=True)
class TextFolders:
    """Every folder is read like ``text_folder`` and is one client, named like the folder; its ``wish.txt`` holds what
    that client wishes for.

    Attributes:
        paths: the folders.
    """

    holds: ClassVar = "texts"
    whose: ClassVar = "folders"

    paths: tuple[Path, ...]

    def read(self, cut: Cut = 0) -> Table:
        """All usable documents whole, with their folder's name in the column ``client``.

        Raises:
            UserError: if there is no folder, two have one name, or one cannot be read.
        """
        return beside_each_other(self.paths, [TextFolder(path).read() for path in self.paths])

    def require_one_each(self) -> None:
        """Refuses a folder of nothing but folders; see ``coterie.data.several``."""
        require_no_shelves(self.paths, folders_within, "documents")

    def hints(self) -> list[str]:
        """What somebody may not have meant."""
        return mixed_with_folders(self.paths, folders_within, "documents")
