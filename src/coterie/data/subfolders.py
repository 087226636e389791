"""What the folders in somebody's folder mean, parts of a split or clients, and what their owner wishes for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from coterie.core.errors import UserError
from coterie.data.captions import NotText, printable, read_text

SPLITS = frozenset({"train", "test", "validation"})
WISH = "wish.txt"


def is_parted(root: Path, files: Sequence[Path]) -> bool:
    """Whether all files that lie deeper than the folder lie in ``train``, ``test`` and ``validation``."""
    tops = _tops(root, files)
    return bool(tops) and tops <= SPLITS


def folders_within(root: Path, files: Sequence[Path]) -> tuple[list[Path], int]:
    """The folders in a folder that hold some of its files, and how many lie beside them.

    Parts of a split are no folders in it: what lies there is its own.
    """
    if is_parted(root, files):
        return [], len(files)
    return sorted(root / name for name in _tops(root, files)), sum(path.parent == root for path in files)


def columns_of(root: Path, files: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """What the folders that each file lies in say of it: ``split`` and ``client``, and that client's ``wish``.

    A column is left out of a file that has nothing to say in it.

    Raises:
        UserError: if a wish is no text.
    """
    parted = is_parted(root, files)
    wish = cache(wish_in)  # a client has one, and many files
    found: dict[Path, dict[str, str]] = {}
    for path in files:
        folders = list(path.relative_to(root).parts[:-1])
        columns = found[path] = {}
        if parted and folders:
            columns["split"] = folders.pop(0)
        if folders:
            columns["client"] = printable(folders[0])
            if wished := wish(root.joinpath(columns.get("split", ""), folders[0])):
                columns["wish"] = wished
    return found


def wish_in(folder: Path) -> str:
    """What somebody wishes for, by the file for it in their folder, on one line; empty where there is none.

    Raises:
        UserError: if the file is no text.
    """
    path = folder / WISH
    try:
        return " ".join(read_text(path).split()) if path.is_file() else ""
    except NotText as error:
        raise UserError(f"{folder}: {error}") from None


def _tops(root: Path, files: Sequence[Path]) -> set[str]:
    return {path.relative_to(root).parts[0] for path in files if path.parent != root}
