"""Where the files and folders that a recipe names are looked for.

One rule: a relative path in a recipe file is seen from that file, a path that is typed (an argument, ``--set``, a table
in Python) from where it is typed. The recipe in a run folder holds whole paths, so that a run goes on from anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from coterie.core.errors import UserError
from coterie.core.place import Place
from coterie.core.shelf import Shelf

Move = Callable[[str, Place], str]


def seen_from(folder: Path) -> Move:
    """Turns a path relative to a folder into one relative to here; an id of a hub stays as it is.

    What may be both is an id unless such a file or folder is there, or it is written as a path (``./name``, ``.x``).
    """

    def move(text: str, place: Place) -> str:
        path = folder / text
        written_so = text.startswith(".") or text.endswith(".safetensors") or Path(text).exists()
        return text if place.or_id and not (written_so or path.exists()) else str(path)

    return move


def whole(text: str, place: Place) -> str:
    """A path as it is seen from anywhere; an id of a hub stays as it is."""
    return text if place.or_id and not Path(text).exists() else os.path.abspath(text)


def relative_to(folder: Path) -> Move:
    """The other way round: from a path relative to here, or a whole one, to one that a file in a folder may hold."""

    def move(text: str, place: Place) -> str:
        if os.path.isabs(text) or (place.or_id and not Path(text).exists()):
            return text
        return os.path.relpath(text, folder)

    return move


def moved(plain: Mapping[str, Any], kind: type[Any], move: Move, like: Mapping[str, Any] | None = None) -> Any:
    """The same settings with every path in them moved.

    Args:
        plain: settings of ``kind``, as TOML holds them; what is wrong in them is left for validation to find.
        kind: a pydantic model or a dataclass.
        move: from the text of a path and its mark to another text.
        like: settings that ``plain`` will be laid over, where it names no thing itself.
    """
    hints = get_type_hints(kind, include_extras=True)
    like = like if isinstance(like, Mapping) else {}
    out = {key: _moved(value, hints.get(key), move, like.get(key)) for key, value in plain.items()}
    control = plain.get("control")
    if "control" in hints and isinstance(control, Mapping):
        out["control"] = moved(control, kind, move, plain)
    return out


def _moved(value: Any, hint: Any, move: Move, like: Any) -> Any:
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        marks = tuple(rest)
    shelf = next((mark for mark in marks if isinstance(mark, Shelf)), None)
    place = next((mark for mark in marks if isinstance(mark, Place)), Place() if hint is Path else None)
    if place is not None:
        return move(str(value), place) if isinstance(value, (str, Path)) and str(value) else value
    if get_origin(hint) is tuple:
        many = value if isinstance(value, (list, tuple)) else None
        inner = get_args(hint)[0]
        return _moved(value, inner, move, None) if many is None else [_moved(one, inner, move, None) for one in many]
    if not isinstance(value, Mapping):
        return value
    if shelf is not None:
        name = value.get("name") or (like.get("name") if isinstance(like, Mapping) else like) or shelf.default
        try:
            hint = shelf[name] if isinstance(name, str) else None
        except UserError:
            return value
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, BaseModel)):
        return moved(value, hint, move, like)
    return value
