"""A folder of picture files, captioned as Hugging Face's imagefolder has it or by a text file beside each picture."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from coterie.core.errors import UserError, nearest
from coterie.data.picture import Row, gather, texts
from coterie.data.shelf import SOURCES
from coterie.data.table import Skipped, Table

METADATA = ("metadata.jsonl", "metadata.csv")
SPLITS = frozenset({"train", "test", "validation"})


@SOURCES.register("image_folder")
@dataclass(frozen=True)
class ImageFolder:
    """Pictures from a folder and the folders in it, in the order of their paths.

    ``metadata.jsonl`` or ``metadata.csv``, in any of the folders, names pictures in ``file_name`` relative to itself; a
    picture that none of them names takes its caption from the ``.txt`` file of its own name. Pictures in sub-folders
    get a column ``client``: the first sub-folder's name, or where the folder holds only ``train``, ``test`` and
    ``validation`` a column ``split`` of that name and the next sub-folder as ``client``. What that client wishes for is
    read from a ``wish.txt`` in its folder into a column ``wish``; the form ``clustered`` groups by it.

    Attributes:
        path: the folder, as seen from where the command is typed.
        caption_column: the column of the metadata files that holds the captions.
    """

    path: Path
    caption_column: str = "caption"

    def read(self, side: int) -> Table:
        """All usable pictures at ``side`` pixels, with the other columns of the metadata as text.

        Raises:
            UserError: if the folder is missing or holds no usable picture, or a metadata file cannot be read or has no
                such column.
        """
        root = Path(self.path)
        if not root.is_dir():
            what = "is a file; wanted a folder of pictures" if root.exists() else "no such folder"
            raise UserError(f"{root}: {what}{_neighbour(root)}")
        pictures = _pictures(root)
        about = self._metadata(root)
        table = gather(self._rows(root, pictures, about), side)
        known = set(pictures)
        absent = tuple(Skipped(_name(root, p), "listed, but there is no such picture") for p in about if p not in known)
        if not len(table):
            skipped = (*table.skipped, *absent)
            first = f": {skipped[0].name}: {skipped[0].reason}" if skipped else " (.png, .jpg, .webp and the like)"
            raise UserError(f"{root}: none of its {len(pictures)} pictures can be used{first}")
        return Table(table.pixels, table.captions, table.columns, (*table.skipped, *absent))

    def _rows(self, root: Path, pictures: list[Path], about: Mapping[Path, dict[str, str]]) -> Iterator[Row]:
        tops = {path.relative_to(root).parts[0] for path in pictures if path.parent != root}
        parted = bool(tops) and tops <= SPLITS
        for path in pictures:
            folders = list(path.relative_to(root).parts[:-1])
            columns = {}
            if parted and folders:
                columns["split"] = folders.pop(0)
            if folders:
                columns["client"] = folders[0]
                wish = root / columns.get("split", "") / folders[0] / "wish.txt"
                if wish.is_file():
                    columns["wish"] = wish.read_text(encoding="utf-8", errors="replace").strip()
            columns |= about.get(path, {})
            caption = columns.pop(self.caption_column, None) or _beside(path)
            try:
                image = path.read_bytes()
            except OSError:
                image = None
            yield Row(_name(root, path), image, caption, columns)

    def _metadata(self, root: Path) -> dict[Path, dict[str, str]]:
        about: dict[Path, dict[str, str]] = {}
        for file in sorted(path for name in METADATA for path in root.rglob(name)):
            for row in _read(file):
                if "file_name" not in row:
                    raise UserError(f"{file} has no column 'file_name'{nearest('file_name', row)}")
                if self.caption_column not in row:
                    known = [name for name in row if name != "file_name"]
                    what = f"{file} has no column {self.caption_column!r}"
                    raise UserError(f"caption_column: {what}{nearest(self.caption_column, known) if known else ''}")
                about[file.parent / row.pop("file_name")] = row
        return about


def _read(file: Path) -> list[dict[str, str]]:
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError
    from datasets.utils.logging import disable_progress_bar

    if not file.stat().st_size:
        return []
    disable_progress_bar()
    read = Dataset.from_json if file.suffix == ".jsonl" else Dataset.from_csv
    with tempfile.TemporaryDirectory() as cache:
        try:
            rows = read(str(file), cache_dir=cache, keep_in_memory=True)
            return [texts(row, rows.features) for row in rows]
        except (DatasetGenerationError, ValueError):
            wanted = "JSON lines" if file.suffix == ".jsonl" else "comma-separated values"
            raise UserError(f"{file}: cannot be read as {wanted}") from None


def _pictures(root: Path) -> list[Path]:
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = (path for path in root.rglob("*") if path.suffix.lower() in endings and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts))


def _beside(path: Path) -> str | None:
    text = path.with_suffix(".txt")
    return text.read_text(encoding="utf-8", errors="replace") if text.is_file() else None


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _neighbour(root: Path) -> str:
    if root.exists() or not root.parent.is_dir():
        return ""
    folders = sorted(p.name for p in root.parent.iterdir() if p.is_dir() and not p.name.startswith("."))[:20]
    return nearest(root.name, folders) if folders else ""
