"""Settings as the plain values that TOML holds: one tree over another, one key of a tree, a recipe as a tree."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel

from coterie.core.errors import UserError


def merged(plain: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """One tree of settings over another. A table with another ``name`` replaces the old one but inherits ``fit``."""
    out = {key: value for key, value in plain.items() if key != "control"}
    for key, value in changes.items():
        old = out.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            other = "name" in value and value["name"] != old.get("name")
            kept = {"fit": old["fit"]} if other and "fit" in old and key == "form" else {}
            out[key] = merged(kept, value) if other else merged(old, value)
        else:
            out[key] = value
    return out


def lay_over(plain: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key in a tree of settings."""
    *tables, last = key.split(".")
    for table in tables:
        inner = plain.setdefault(table, {})
        if isinstance(inner, str):  # ``form = "fedavg"`` is short for a table with a name
            inner = plain[table] = {"name": inner}
        if not isinstance(inner, dict):
            raise UserError(f"--set {key}: {table} is not a table")
        plain = inner
    if tables and last == "name" and plain.get("name", value) != value:  # settings of another thing mean nothing here
        for key in [k for k in plain if k != "fit"]:
            del plain[key]
    plain[last] = value


def setting(item: str) -> tuple[str, Any]:
    """A dotted key and its value from ``key=value``; what is not TOML is a string."""
    key, sign, text = item.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", key.strip()):
        raise UserError(f"--set {item}: wanted key=value, like --set form.fit.steps=8")
    try:
        return key.strip(), tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text  # a bare word is a string


def as_plain(thing: Any) -> Any:
    """Settings as plain values that TOML can hold and ``make_recipe`` reads back to the same recipe."""
    if isinstance(thing, BaseModel):
        return {name: as_plain(getattr(thing, name)) for name in type(thing).model_fields}
    if is_dataclass(thing) and not isinstance(thing, type):
        plain = {"name": thing.shelf_name} if hasattr(thing, "shelf_name") else {}
        values = {f.name: getattr(thing, f.name) for f in fields(thing) if f.init}
        return plain | {name: as_plain(value) for name, value in values.items() if value is not None}
    if isinstance(thing, Mapping):
        return {str(key): as_plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [as_plain(item) for item in thing]
    return str(thing) if isinstance(thing, Path) else thing


def in_line(value: Any) -> str:
    """A plain value as TOML on one line, tables in braces.

    >>> in_line({"name": "top_k", "feedback": False})
    '{ name = "top_k", feedback = false }'
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {in_line(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_line, value))}]"
    return tomli_w.dumps({"x": value}).partition("=")[2].strip()
