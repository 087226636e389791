"""A folder of text files, each a document; what lies in a sub-folder is a client's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from coterie.core.errors import UserError
from coterie.data import subfolders
from coterie.data.buckets import Cut
from coterie.data.captions import printable
from coterie.data.picture import endings as picture_endings
from coterie.data.shelf import SOURCES
from coterie.data.table import Table
from coterie.data.texts import LARGEST_BYTES, Document, gather

ENDINGS = (".txt", ".md")


@SOURCES.register("text_folder")
@dataclass(frozen=True)
class TextFolder:
    """Documents from a folder and the folders in it, in the order of their paths: files that end in .txt or .md.

    Documents in sub-folders get a column ``client``: the first sub-folder's name, or where the folder holds only
    ``train``, ``test`` and ``validation`` a column ``split`` of that name and the next sub-folder as ``client``. What
    that client wishes for is read from a ``wish.txt`` in its folder into a column ``wish``.

    Attributes:
        path: the folder.
    """

    holds: ClassVar = "texts"

    path: Path

    def read(self, cut: Cut = 0) -> Table:
        """All usable documents whole, with the column ``document`` that names each.

        Raises:
            UserError: if the folder is missing or holds no usable document, or a wish cannot be read.
        """
        root = Path(self.path)
        if not root.is_dir():
            raise UserError(
                f"{root}: {'is a file; wanted a folder of text files' if root.exists() else 'no such folder'}"
            )
        files = _documents(root)
        if not files:
            pictures = sum(path.suffix.lower() in picture_endings() for path in root.rglob("*"))
            hint = f"; it holds {pictures} pictures, which the source image_folder reads" if pictures else ""
            raise UserError(f"{root}: there is no document in it ({', '.join(ENDINGS)}){hint}")
        return gather(self._found(root, files), str(root))

    def _found(self, root: Path, files: list[Path]) -> Iterator[Document]:
        for path, told in subfolders.columns_of(root, files).items():
            columns = {"document": printable(path.relative_to(root).as_posix()), **told}
            try:
                with open(path, "rb") as file:
                    text: bytes | None = file.read(LARGEST_BYTES + 1)
            except OSError:
                text = None
            yield Document(columns["document"], text, columns)


def folders_within(root: Path) -> tuple[list[Path], int]:
    """The folders in a folder that hold documents, and how many documents lie beside them."""
    return subfolders.folders_within(root, _documents(root))


def _documents(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if _is_document(root, path))


def _is_document(root: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in ENDINGS and path.name != subfolders.WISH and not hidden and path.is_file()
