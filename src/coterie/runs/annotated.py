"""A recipe as TOML in which every key says what it means."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from coterie.core.shelf import Shelf
from coterie.runs.plain import as_plain


def names_at(shelf: Shelf[Any], key: str) -> list[str]:
    """Names of what can stand at a key of the recipe: all of a shelf, but for codecs that are for ``uplink`` only."""
    return [name for name in shelf.names() if key == "uplink" or not getattr(shelf[name], "up_only", False)]


def meanings(kind: type[Any]) -> dict[str, str]:
    """One line for each setting of a model or dataclass, from the ``Attributes:`` of it and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= _listed(inspect.cleandoc(vars(base).get("__doc__") or ""))
    return found


def _listed(text: str) -> dict[str, str]:
    _, _, listed = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    last = ""
    for line in listed.splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            last = start[1]
            found[last] = start[2]
        elif last and line.startswith("        "):
            found[last] += " " + line.strip()
    return found


def annotated_toml(thing: Any, name: str = "", head: str = "[{}]") -> str:
    """The resolved settings as TOML, a comment with its meaning on every line."""
    import tomli_w

    lines, tables = [head.format(name)] if name else [], []
    notes = meanings(type(thing))
    plain = as_plain(thing)
    for key, value in plain.items():
        child = getattr(thing, key, None)
        if isinstance(value, dict):
            if value:
                label = f"{name}.{key}" if name else key
                bare = tomli_w.dumps(_nested(label.split("."), value)) if isinstance(child, dict) else ""
                tables.append(bare or annotated_toml(child, label))
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):
            label = f"{name}.{key}" if name else key
            tables += [annotated_toml(item, label, "[[{}]]") for item in child or ()]
            continue
        text = _in_one_line(tomli_w.dumps({key: value}))
        note = notes.get(key, "").replace("``", "")
        if key == "name" and not note:
            note = f"one of: {', '.join(names_at(type(thing).shelf, name))}"
        lines.append(f"{text:<32}  # {note}" if note else text)
    return "\n".join(lines) + "\n" + "".join("\n" + table for table in tables)


def _nested(names: Sequence[str], value: Any) -> Any:
    """A tree with a value at the end of one path."""
    for name in reversed(names):
        value = {name: value}
    return value


def _in_one_line(text: str) -> str:
    """TOML of one key whose array has a line for every item."""
    return re.sub(r"\n\s*", " ", re.sub(r",\n\]", "]", re.sub(r"\[\n\s*", "[", text.strip())))
