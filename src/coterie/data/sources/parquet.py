"""A parquet file with a picture and a caption in each row, as Hugging Face writes them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coterie.core.errors import UserError, nearest
from coterie.data.picture import Row, gather, texts
from coterie.data.shelf import SOURCES
from coterie.data.table import Table


@SOURCES.register("parquet")
@dataclass(frozen=True)
class Parquet:
    """Pictures from one parquet file.

    Attributes:
        path: the file, as seen from where the command is typed.
        image_column: the column of pictures: an Image feature (``bytes`` and ``path``) or plain bytes.
        caption_column: the column of captions.
    """

    path: Path
    image_column: str = "image"
    caption_column: str = "caption"

    def read(self, side: int) -> Table:
        """All usable rows at ``side`` pixels; columns of text, numbers and truth values come along as text.

        Raises:
            UserError: if the file is missing or no parquet file, a column is not there, or no picture is usable.
        """
        path = Path(self.path)
        if not path.is_file():
            what = "is a folder; wanted a parquet file" if path.is_dir() else "no such file"
            raise UserError(f"{path}: {what}{_neighbour(path)}")
        with tempfile.TemporaryDirectory() as cache:
            table = gather(self._rows(path, cache), side)
        if not len(table):
            first = f": {table.skipped[0].name}: {table.skipped[0].reason}" if table.skipped else ""
            raise UserError(f"{path}: none of its {len(table.skipped)} rows can be used{first}")
        return table

    def _rows(self, path: Path, cache: str) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            names = pq.read_schema(path).names
        except (pa.ArrowException, OSError):
            raise UserError(f"{path}: not a parquet file") from None
        for key in ("image_column", "caption_column"):
            wanted = getattr(self, key)
            if wanted not in names:
                raise UserError(f"{key}: {path} has no column {wanted!r}{nearest(wanted, names)}")

        from datasets import Dataset, Image
        from datasets.utils.logging import disable_progress_bar

        disable_progress_bar()
        rows = Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
        if isinstance(rows.features[self.image_column], Image):
            # Decoding is ours: one broken picture among thousands must cost one row, not the run.
            rows = rows.cast_column(self.image_column, Image(decode=False))
        for index, row in enumerate(rows):
            image = row.pop(self.image_column)
            caption = row.pop(self.caption_column)
            yield Row(
                _name(image, index), _bytes(image), None if caption is None else str(caption), texts(row, rows.features)
            )


def _bytes(image: object) -> bytes | None:
    found = image.get("bytes") if isinstance(image, dict) else image
    return found if isinstance(found, bytes) else None


def _name(image: object, index: int) -> str:
    path = image.get("path") if isinstance(image, dict) else None
    return f"row {index} ({path})" if path else f"row {index}"


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    files = sorted(p.name for p in path.parent.glob("*.parquet"))[:20]
    return nearest(path.name, files) if files else ""
