"""Pictures or documents looked at before a run: from whatever a person can point at, as one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from coterie.core.errors import UserError, nearest
from coterie.data.buckets import Buckets, Cut
from coterie.data.picture import endings
from coterie.data.shelf import SOURCES, Source
from coterie.data.sources.text_folder import ENDINGS
from coterie.data.table import Table


@dataclass(frozen=True)
class Asked:
    """Settings of a source, as typed; empty ones are the source's own.

    Attributes:
        image_column: of parquet files and data sets.
        caption_column: of all sources.
        caption: for pictures that have none.
        column: that names the client.
        split: of a data set.
        revision: of a data set on the hub.
    """

    image_column: str = "image"
    caption_column: str = "caption"
    caption: str = ""
    column: str = ""
    split: str = "train"
    revision: str = ""


TABLES = (".jsonl", ".json", ".csv")  # of documents; pictures are not in such
SIDE, BUCKETS_SIDE = 32, 512  # pixels, where nothing says another; buckets of small sides are few


def looked_at(
    what: str, side: int = 0, asked: Asked | None = None, sets: Iterable[str] = (), buckets: bool = False
) -> Table:
    """The pictures of a folder, a parquet file, a data set or a recipe; a recipe's as it shares them out.

    Args:
        what: a path, or an id of the hub.
        side: of the squares in pixels; 0 is 32, and with buckets what a recipe's backbone has, or 512.
        asked: settings of the source; a recipe has its own.
        sets: ``key=value`` settings laid over a recipe.
        buckets: whether pictures are cut to the nearest of several shapes; a recipe says so itself.

    Raises:
        UserError: if there is no such thing, or it cannot be read.
    """
    asked = asked or Asked()
    if what.endswith(".toml"):
        if asked != Asked():
            raise UserError(f"{what}: a recipe has its own settings; change them with --set data.source.KEY=VALUE")
        if buckets:
            raise UserError(f"{what}: a recipe says itself how pictures are cut; wanted --set data.crop=buckets")
        return _of_recipe(Path(what), side, sets)
    if tuple(sets):
        raise UserError(f"--set changes a recipe, and {what} is none")
    table = source_of(what, asked).read(Buckets(side or BUCKETS_SIDE) if buckets else side or SIDE)
    if not asked.column:
        return table
    if asked.column not in table.columns:
        raise UserError(f"--column {asked.column}: there is no such column{nearest(asked.column, table.columns)}")
    return replace(table, columns={**table.columns, "client": table.columns[asked.column]})


def source_of(what: str, asked: Asked) -> Source:
    """The source that can read a path, or an id of the hub.

    Raises:
        UserError: if a setting is wrong; whether there is such a thing is found by reading it.
    """
    path = Path(what)
    words = {"path": what, "caption_column": asked.caption_column, "caption": asked.caption}
    if path.suffix in TABLES:
        return SOURCES.build({"name": "text_table", "path": what}, "data.source")
    if path.is_dir() and not _is_data_set(path):
        known, files = endings(), [file.suffix.lower() for file in path.rglob("*")]
        if not known.intersection(files) and set(ENDINGS).intersection(files):
            return SOURCES.build({"name": "text_folder", "path": what}, "data.source")
        return SOURCES.build({"name": "image_folder", **words}, "data.source")
    words["image_column"] = asked.image_column
    if path.is_dir() or (what.count("/") == 1 and not path.suffix and not path.parent.exists()):
        return SOURCES.build({"name": "hub", **words, "split": asked.split, "revision": asked.revision}, "data.source")
    return SOURCES.build({"name": "parquet", **words}, "data.source")


def _is_data_set(folder: Path) -> bool:
    """Files of ``datasets``, and no picture files beside them."""
    from coterie.data.sources.hub import is_saved

    known = endings()
    return is_saved(folder) and not any(path.suffix.lower() in known for path in folder.rglob("*"))


def _of_recipe(path: Path, side: int, sets: Iterable[str]) -> Table:
    from coterie.data.population import as_table
    from coterie.runs.people import population_of
    from coterie.runs.reading import read_recipe

    recipe = read_recipe(path, sets)
    cut: Cut = side or SIDE
    if recipe.data.crop == "buckets":
        cut = Buckets(side or getattr(recipe.backbone, "side", 0) or BUCKETS_SIDE)
    table = recipe.data.source.read(cut)
    return as_table(population_of(recipe, cut, table), table.skipped)
