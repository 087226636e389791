"""A data set of the Hugging Face hub, or a folder that ``datasets`` wrote or can load."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from coterie.core.errors import UserError, nearest
from coterie.core.hub import hub_is_away, is_id
from coterie.core.place import Place
from coterie.data.arrow_rows import columns_of, rows_of
from coterie.data.buckets import Cut
from coterie.data.picture import Row, gather, require_some
from coterie.data.shelf import SOURCES
from coterie.data.table import Table

BATCH_ROWS = 64


@SOURCES.register("hub")
@dataclass(frozen=True)
class Hub:
    """Pictures from ``datasets``: an id of the hub, a folder of its files, or a folder that ``save_to_disk`` wrote.

    Attributes:
        path: the id, like ``owner/name``, or the folder.
        config: which part of a data set that has several; empty is its only or default one.
        split: which rows, like ``train`` or ``train[:200]``.
        revision: branch, tag or commit on the hub; empty is the newest. A commit makes a run repeatable.
        image_column: the column of pictures.
        caption_column: the column of captions; ``text`` does where there is no ``caption``.
        caption: for every picture that has none of its own; empty leaves such pictures out.
    """

    path: Annotated[str, Place(or_id=True)]
    config: str = ""
    split: str = "train"
    revision: str = ""
    image_column: str = "image"
    caption_column: str = "caption"
    caption: str = ""

    def read(self, cut: Cut) -> Table:
        """All usable rows cut to size; columns of text, numbers and truth values come along as text.

        What comes from the hub stays in Hugging Face's own cache; of a folder nothing is kept.

        Raises:
            UserError: if the data set cannot be had, a split or column is not there, or no picture is usable.
        """
        with tempfile.TemporaryDirectory() as cache:
            return require_some(gather(self._rows(cache), cut, self.caption), self.path)

    def _rows(self, cache: str) -> Iterator[Row]:
        rows = loaded(self.path, self.config, self.split, self.revision, cache)
        columns = columns_of(
            self.path, rows.features.arrow_schema, self.image_column, self.caption_column, self.caption
        )
        # Tables of Arrow are not decoded: one broken picture among thousands must cost one row, not the run.
        yield from rows_of(columns, rows.with_format("arrow").iter(BATCH_ROWS), _fetching(self.path))


def loaded(path: str, config: str, split: str, revision: str, cache: str) -> Any:
    """A data set of the hub or of a folder, as ``datasets`` has it.

    Args:
        path: the id, or the folder.
        config: which part; empty is the only or default one.
        split: which rows.
        revision: on the hub; empty is the newest.
        cache: folder for what is made of a folder's files.

    Raises:
        UserError: if it cannot be had, or the split is not there.
    """
    from datasets import load_dataset, load_from_disk
    from datasets.utils.logging import disable_progress_bar
    from huggingface_hub.utils.logging import set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()  # its five tries to reach the hub; what comes of them is one line of ours
    folder = Path(path)
    if not folder.is_dir() and (folder.exists() or not is_id(path)):
        what = "is a file; wanted a folder" if folder.exists() else "no such folder"
        raise UserError(f"{path}: {what} or an id of the hub, like owner/name")
    try:
        if (folder / "dataset_dict.json").is_file():
            splits = load_from_disk(path, keep_in_memory=True)
            if split not in splits:
                raise UserError(f"split: {path} has no split {split!r}{nearest(split, splits)}")
            return splits[split]
        if (folder / "state.json").is_file():
            return load_from_disk(path, keep_in_memory=True)
        local: dict[str, Any] = {"cache_dir": cache, "keep_in_memory": True} if folder.is_dir() else {}
        wanted = None if folder.is_dir() else revision or None
        with contextlib.nullcontext() if folder.is_dir() or not hub_is_away() else _cache_only():
            return load_dataset(path, config or None, split=split, revision=wanted, **local)
    except UserError:
        raise
    except Exception as error:  # the network, the hub, and readers of a dozen formats raise what they like
        raise UserError(f"{path}: {_reason(error, folder.is_dir())}") from None


@contextlib.contextmanager
def _cache_only() -> Iterator[None]:
    """The libraries look into their caches only, as with ``HF_HUB_OFFLINE``, which they read when they are imported."""
    from datasets import config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before


def is_saved(folder: Path) -> bool:
    """Whether a folder is one of ``datasets``: by ``save_to_disk``, or with parquet or Arrow files in it."""
    if any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return True
    return any(next(folder.rglob(pattern), None) is not None for pattern in ("*.parquet", "*.arrow"))


def _reason(error: Exception, local: bool) -> str:
    """One line for what ``datasets`` complains of."""
    name = type(error).__name__
    said = " ".join(str(error).split())[:200] or name
    if "Unknown split" in said:
        return f"no such split: {said}"
    if local:
        return f"not a data set that can be loaded: {said}"
    if isinstance(error, ConnectionError) or "Offline" in name or "Connect" in name or "timed out" in said:
        return f"the hub cannot be reached, and the data set is not in its cache: {said}"
    if name == "DatasetNotFoundError":
        return "the hub has no such data set, or not for you; for a private one log in first with: hf auth login"
    return f"cannot be loaded from the hub: {said}"


def _fetching(path: str) -> Callable[[str], bytes | None]:
    """Reads a picture that a table only names, where it lies in the data set's own folder or in the hub's cache."""
    from datasets import config

    root = Path(path).resolve() if Path(path).is_dir() else Path(config.HF_CACHE_HOME).resolve()

    def fetch(named: str) -> bytes | None:
        try:
            file = Path(named).resolve()
            return file.read_bytes() if file.is_relative_to(root) else None
        except (OSError, ValueError):
            return None

    return fetch
