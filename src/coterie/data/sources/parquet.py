"""A parquet file with a picture and a caption in each row, as Hugging Face writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coterie.core.errors import UserError, nearest
from coterie.data.arrow_rows import columns_of, rows_of
from coterie.data.buckets import Cut
from coterie.data.picture import Row, gather, require_some
from coterie.data.shelf import SOURCES
from coterie.data.table import Table

BATCH_ROWS = 64
"""Unpacked at once; only pictures cut to the wanted size are kept."""


@SOURCES.register("parquet")
@dataclass(frozen=True)
class Parquet:
    """Pictures from one parquet file.

    Attributes:
        path: the file.
        image_column: the column of pictures: an Image feature (``bytes`` and ``path``) or plain bytes.
        caption_column: the column of captions; ``text`` does where there is no ``caption``.
        caption: for every picture that has none of its own; empty leaves such pictures out.
    """

    path: Path
    image_column: str = "image"
    caption_column: str = "caption"
    caption: str = ""

    def read(self, cut: Cut) -> Table:
        """All usable rows cut to size; columns of text, numbers and truth values come along as text.

        Raises:
            UserError: if the file is missing or no parquet file, a column is not there, or no picture is usable.
        """
        path = Path(self.path)
        if not path.is_file():
            what = "is a folder; wanted a parquet file" if path.is_dir() else "no such file"
            raise UserError(f"{path}: {what}{_neighbour(path)}")
        return require_some(gather(self._rows(path), cut, self.caption), str(path))

    def _rows(self, path: Path) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with open(path, "rb") as opened, pq.ParquetFile(opened) as file:
                columns = columns_of(str(path), file.schema_arrow, self.image_column, self.caption_column, self.caption)
                chosen = [name for name in (columns.image, columns.caption, *columns.texts) if name is not None]
                yield from rows_of(columns, file.iter_batches(BATCH_ROWS, columns=chosen, use_threads=False))
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise UserError(f"{path}: not a parquet file that can be read: {reason}") from None


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    files = sorted(p.name for p in path.parent.glob("*.parquet"))[:20]
    return nearest(path.name, files) if files else ""
