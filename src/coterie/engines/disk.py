"""Writing files so that a crash, a kill or a full disk never costs finished work."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from coterie.core.errors import Halted, UserError


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces a file at once: a temporary name, fsync, rename, fsync of the folder.

    Raises:
        UserError: if the disk is full or the folder cannot be written; the old file is untouched.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        part.unlink(missing_ok=True) if part.parent.is_dir() else None
        raise explain(error, path) from error


def append_line(path: Path, line: str) -> None:
    """Adds one line to a file in a single write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(line.encode() + b"\n")
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError, path: Path) -> UserError:
    """What went wrong with a file, and what to do, in one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Halted(f"{path}: the disk is full; free some space")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return UserError(f"{path}: this folder cannot be written; choose another with --out DIR")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(f"{path}: a file is where a folder should be; choose another with --out DIR")
    return UserError(f"{path}: {error.strerror or error}")
