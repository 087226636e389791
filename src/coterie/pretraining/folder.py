"""The folder of a pretraining, of pictures or of language: its settings and its state, so that it can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from coterie.core.errors import UserError

STATE = "state.safetensors"


def open_folder(
    folder: Path, settings: Mapping[str, Any], fixed: Iterable[str], words: Callable[[object], str] = str
) -> None:
    """Makes the folder, or finds in it a run of the same settings; writes them down.

    Args:
        folder: of the run.
        settings: as plain values, with what it is trained on.
        fixed: which of them must stay the same when the folder is continued.
        words: how the value of one is said.

    Raises:
        UserError: if it was begun otherwise, or cannot be read or written.
    """
    path = folder / "settings.json"
    try:
        if seen_before(folder) and path.exists():
            found = json.loads(path.read_text())
            for key in fixed:
                if found.get(key) != settings[key]:
                    raise UserError(
                        f"{folder}: was begun with {key} {words(found.get(key))}, not {words(settings[key])}; "
                        "choose another folder, or go on as it was begun"
                    )
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another folder") from error
    except ValueError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def seen_before(folder: Path) -> int:
    """Pictures or tokens that the state in a folder has seen; 0 without one."""
    return progress_of(folder)[0] if (folder / STATE).exists() else 0


def progress_of(folder: Path) -> tuple[int, float]:
    """Pictures or tokens seen, and seconds spent, of a folder's state."""
    path = folder / STATE
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata()
        return int(meta["seen"]), float(meta["seconds"])
    except (SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no state that can be read; delete it to begin again") from error


def save_state(folder: Path, tensors: Mapping[str, Tensor], seen: int, seconds: float, **more: str) -> None:
    """Writes all that is needed to go on, at once; ``more`` stands in the file's header."""
    cpu = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(cpu, folder / "state.part", metadata={"seen": str(seen), "seconds": str(seconds), **more})
    os.replace(folder / "state.part", folder / STATE)
