"""A folder of picture files, captioned as Hugging Face's imagefolder has it or by a text file beside each picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from coterie.core.errors import UserError, nearest
from coterie.data import subfolders
from coterie.data.buckets import Cut
from coterie.data.captions import NotText, caption_column, listed, printable, read_text, require_file_name
from coterie.data.picture import NO_CAPTION, Row, endings, gather
from coterie.data.shelf import SOURCES
from coterie.data.table import Skipped, Table

METADATA = ("metadata.jsonl", "metadata.csv")


@SOURCES.register("image_folder")
@dataclass(frozen=True)
class ImageFolder:
    """Pictures from a folder and the folders in it, in the order of their paths.

    ``metadata.jsonl`` or ``metadata.csv``, in any of the folders, names pictures in ``file_name`` relative to itself; a
    picture without a caption there takes it from the ``.txt`` file of its own name. Pictures in sub-folders
    get a column ``client``: the first sub-folder's name, or where the folder holds only ``train``, ``test`` and
    ``validation`` a column ``split`` of that name and the next sub-folder as ``client``. What that client wishes for is
    read from a ``wish.txt`` in its folder into a column ``wish``; the form ``clustered`` groups by it.

    Attributes:
        path: the folder.
        caption_column: the column of the metadata files that holds the captions; ``text`` does where there is no
            ``caption``.
        caption: for every picture that has none of its own; empty leaves such pictures out.
    """

    path: Path
    caption_column: str = "caption"
    caption: str = ""

    def read(self, cut: Cut) -> Table:
        """All usable pictures cut to size, with the other columns of the metadata as text.

        Raises:
            UserError: if the folder is missing or holds no usable picture, a metadata file cannot be read or has no
                such column, or a wish cannot be read.
        """
        root = Path(self.path)
        if not root.is_dir():
            what = "is a file; wanted a folder of pictures" if root.exists() else "no such folder"
            raise UserError(f"{root}: {what}{_neighbour(root)}")
        pictures = _pictures(root)
        about = self._metadata(root, frozenset(pictures))
        table = gather(self._rows(root, pictures, about), cut, self.caption)
        known = set(pictures)
        absent = [Skipped(_name(root, p), "listed, but there is no such picture") for p in about if p not in known]
        bare = [Skipped(name, "a folder without pictures") for name in _bare(root, pictures)]
        skipped = (*table.skipped, *absent, *bare)
        if not len(table):
            first = f": {skipped[0].name}: {skipped[0].reason}" if skipped else " (.png, .jpg, .webp and the like)"
            help = "; write a .txt beside it, or set caption for all" if skipped[:1] and _mute(skipped[0]) else ""
            what = f"none of its {len(pictures)} pictures can be used" if pictures else "there is no picture in it"
            raise UserError(f"{root}: {what}{first}{help}")
        return Table(table.pixels, table.captions, table.columns, skipped)

    def _rows(self, root: Path, pictures: list[Path], about: Mapping[Path, dict[str, str]]) -> Iterator[Row]:
        for path, told in subfolders.columns_of(root, pictures).items():
            columns = told | about.get(path, {})
            caption, problem = columns.pop(_CAPTION, None), ""
            try:
                caption = caption or _beside(path)
                image = path.read_bytes()
            except NotText as error:
                image, problem = None, str(error)
            except OSError as error:
                image, problem = None, f"cannot be opened: {error.strerror}"
            yield Row(_name(root, path), image, caption, columns, problem)

    def _metadata(self, root: Path, pictures: frozenset[Path]) -> dict[Path, dict[str, str]]:
        """What the metadata files say of each picture; captions under ``_CAPTION``."""
        about: dict[Path, dict[str, str]] = {}
        for file in sorted(path for name in METADATA for path in root.rglob(name) if path.is_file()):
            rows = listed(file)
            if not rows:
                continue
            require_file_name(file, rows[0])
            column = caption_column(self.caption_column, rows[0])
            named = [(file.parent / row.pop("file_name").replace("\0", ""), row) for row in rows]
            told = self.caption or any(path.with_suffix(".txt").is_file() for path, _ in named if path in pictures)
            if column is None and not told:
                known = [name for name in rows[0] if name != "file_name"]
                what = f"{file} has no column {self.caption_column!r}"
                raise UserError(f"caption_column: {what}{nearest(self.caption_column, known) if known else ''}")
            for path, row in named:
                if column is not None:
                    row[_CAPTION] = row.pop(column)
                about[path] = row
        return about


_CAPTION = "\0caption"  # no column of a file can have this name


def folders_within(root: Path) -> tuple[list[Path], int]:
    """The folders in a folder that hold pictures, and how many pictures lie beside them.

    Where a list is in the folder, or they are parts of a split, they are the folder's own.
    """
    pictures = _pictures(root)
    if any((root / name).is_file() for name in METADATA):
        return [], len(pictures)
    return subfolders.folders_within(root, pictures)


def _pictures(root: Path) -> list[Path]:
    known = endings()
    found = (path for path in root.rglob("*") if path.suffix.lower() in known and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts))


def _bare(root: Path, pictures: list[Path]) -> list[str]:
    """Folders of clients in which no picture lies."""
    clients = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if subfolders.is_parted(root, pictures):
        clients = [path for top in clients for path in sorted(top.iterdir()) if path.is_dir()]
    full = {parent for path in pictures for parent in path.parents}
    return [_name(root, path) for path in clients if path not in full and not path.name.startswith(".")]


def _beside(path: Path) -> str | None:
    text = path.with_suffix(".txt")
    return read_text(text) if text.is_file() else None


def _mute(skipped: Skipped) -> bool:
    return skipped.reason == NO_CAPTION


def _name(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path))


def _neighbour(root: Path) -> str:
    if root.exists() or not root.parent.is_dir():
        return ""
    folders = sorted(p.name for p in root.parent.iterdir() if p.is_dir() and not p.name.startswith("."))[:20]
    return nearest(root.name, folders) if folders else ""
