"""The reference of the recipe as a page: every key with its type, default and meaning, out of the code itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import tomli_w
from pydantic import BaseModel

from coterie.core.place import Place
from coterie.core.shelf import Shelf
from coterie.runs.annotated import meanings, names_at
from coterie.runs.plain import as_plain
from coterie.runs.recipe import Recipe

HEAD = """# Recipe

Every key. A recipe is one TOML file; what it leaves out has the default. `coterie recipe show` prints one with all
keys, `--set key=value` changes a key of it, and an unknown key is an error with the nearest right name. Keys are
written with dots here: `form.fit.steps` is `steps` in the table `[form.fit]`.

A table with a `name` chooses a thing, and its other keys are that thing's own; the bare name is short for it, as in
`form = "fedavg"`. A relative path in a recipe file is seen from that file, one in `--set` from where it is typed.
"""
WORDS = {bool: "`true` or `false`", int: "whole number", float: "number", str: "text", Path: "path"}
BOUNDS = (("ge", "at least {}"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"),
          ("multiple_of", "a multiple of {}"), ("pattern", "like `{}`"))  # fmt: skip


class Section(NamedTuple):
    """A table of the recipe: its dotted key, and the shelf that it is chosen from or the class that it is."""

    key: str
    what: Any


def recipe_page() -> str:
    """The whole page, in Markdown; a table that several things have is told once."""
    text, waiting = table_of(Recipe, "")
    return HEAD + text + sections(waiting)


def sections(waiting: list[Section]) -> str:
    """Tables and the tables in them, each once."""
    page, told = [], set()
    while waiting:
        section = waiting.pop(0)
        if section.key not in told:
            told.add(section.key)
            text, inner = _section(section)
            page.append(f"\n## {section.key}\n{text}")
            waiting = inner + waiting
    return "".join(page)


def _section(section: Section) -> tuple[str, list[Section]]:
    """The text of a table and the tables in it; of a shelf, everything that can stand there."""
    key, what = section
    if not isinstance(what, Shelf):
        text, inner = table_of(what, key)
        return f"\n{_about(what)}\n{text}", inner
    usual = f" Without a name: `{what.default}`." if what.default else ""
    names = names_at(what, key)
    others = [f"`{name}`" for name in what.names() if name not in names]
    usual += f" In [uplink](#uplink) alone: {', '.join(others)}." if others else ""
    text, inner = f"\n`{key}.name` is one of {', '.join(f'`{name}`' for name in names)}.{usual}\n", []
    for name in names:
        table, more = table_of(what[name], key)
        text += f'\n### {key}.name = "{name}"\n\n{_about(what[name])}\n{table}'
        inner += more
    return text, inner


def table_of(kind: type[Any], where: str) -> tuple[str, list[Section]]:
    """The keys of a model or dataclass as a table, and the tables among them.

    Args:
        kind: of it.
        where: its dotted key; empty for the whole file.
    """
    rows, inner = "", []
    notes = meanings(kind)
    for name, hint, default in _settings(kind):
        key = f"{where}.{name}" if where else name
        mark, hint, bounds = _unwrapped(_without_none(hint))
        many = get_origin(hint) is tuple
        part, of = _unwrapped(get_args(hint)[0])[:2] if many else (mark, hint)
        if isinstance(part, Shelf) or _is_table(of):
            inner.append(Section(key, part if isinstance(part, Shelf) else of))
            words = f"{'list of ' if many else ''}[table{'s' if many else ''}](#{_anchor(key)})"
        else:
            words = f"{_type_in_words(hint, mark)}{bounds}"
        rows += f"| `{key}` | {words} | {_default_in_words(default)} | {_cell(notes.get(name, ''))} |\n"
    return f"\n| key | type | default | meaning |\n|---|---|---|---|\n{rows}" if rows else "", inner


def _settings(kind: type[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, annotation and default of each key; ``MISSING`` where it must be given."""
    hints = get_type_hints(kind, include_extras=True)
    if issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            default = MISSING if field.is_required() else field.get_default(call_default_factory=True)
            yield name, Annotated[hints[name], *field.metadata] if field.metadata else hints[name], default
        return
    for one in fields(kind):
        if one.init and one.repr:  # what is not shown is set by the code, never in a recipe
            made = one.default if one.default_factory is MISSING else one.default_factory()
            yield one.name, hints[one.name], made


def _unwrapped(hint: Any) -> tuple[Any, Any, str]:
    """The shelf or place that an annotation is marked with, its type, and its bounds in words."""
    if get_origin(hint) is not Annotated:
        return None, hint, ""
    hint, *marks = get_args(hint)
    mark = next((m for m in marks if isinstance(m, (Shelf, Place))), None)
    found = {words: getattr(m, name) for name, words in BOUNDS for m in marks if getattr(m, name, None) is not None}
    return (
        mark,
        hint,
        "".join(f", {words.format(f'{v:g}' if isinstance(v, float) else v)}" for words, v in found.items()),
    )


def _without_none(hint: Any) -> Any:
    """What a setting is where it is given at all."""
    kinds = [one for one in get_args(hint) if one is not type(None)]
    return kinds[0] if get_origin(hint) in (Union, UnionType) and len(kinds) == 1 else hint


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, BaseModel))


def _type_in_words(hint: Any, mark: Any) -> str:
    origin = get_origin(hint)
    if isinstance(mark, Place):
        return "path or id of a hub" if mark.or_id else "path"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if origin is tuple:
        of, inner, _ = _unwrapped(get_args(hint)[0])
        return f"list: {_type_in_words(inner, of)}"
    if origin in (Union, UnionType):
        return " or ".join(_type_in_words(one, None) for one in get_args(hint) if one is not type(None))
    if origin is not None and issubclass(origin, Mapping):
        return "table"
    return WORDS.get(hint, "table")


def _default_in_words(default: Any) -> str:
    if default is MISSING:
        return "must be given"
    if default is None:
        return ""
    plain = as_plain(default)
    if isinstance(plain, dict) and "name" in plain:
        return f"`{plain['name']}`"
    if isinstance(plain, dict):
        return "" if plain else "`{}`"
    text = tomli_w.dumps({"x": plain}).partition("=")[2]
    return "`" + " ".join(text.split()).replace("[ ", "[").replace(", ]", "]").replace(" ]", "]") + "`"


def _about(kind: type[Any]) -> str:
    """What a docstring says before its sections."""
    text = (inspect.getdoc(kind) or "").partition("\n\nAttributes:")[0]
    return text.replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _anchor(title: str) -> str:
    """What Markdown calls a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
