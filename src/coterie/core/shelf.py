"""Shelves: names to things. The file name is the registered name, so a lookup imports one file and a listing none.

Other packages add things through an entry-point group named after the shelf.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_args, get_type_hints

from coterie.core.errors import UserError, nearest

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class Shelf(Generic[T]):
    """One kind of thing: a folder of our own files and an entry-point group for other people's.

    Args:
        package: dotted name of the folder, which is also the entry-point group.
        kind: what one thing is called in messages.
        default: the thing meant by settings without a name; empty if a name must be given.
    """

    def __init__(self, package: str, kind: str, default: str = "") -> None:
        self.package, self.kind, self.default = package, kind, default
        self._things: dict[str, type[Any]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator: puts a frozen dataclass on the shelf and returns it unchanged."""

        def add(thing: C) -> C:
            other = self._things.get(name)
            if other is not None and other.__qualname__ != thing.__qualname__:
                raise ValueError(f"the {self.kind} {name!r} is registered twice")
            if not is_dataclass(thing):
                raise TypeError(f"the {self.kind} {name!r} must be a dataclass: its fields are its settings")
            shelved: Any = thing  # no annotation of a class on a shelf declares these two
            shelved.shelf_name, shelved.shelf = name, self
            self._things[name] = thing
            return thing

        return add

    def names(self) -> list[str]:
        """Everything on the shelf, without importing any of it."""
        ours = {m.name for m in pkgutil.iter_modules(import_module(self.package).__path__) if m.name[0] != "_"}
        return sorted(ours | {e.name for e in entry_points(group=self.package)} | set(self._things))

    def __getitem__(self, name: str) -> type[Any]:
        if name not in self._things:
            if name not in self.names():
                raise UserError(f"no {self.kind} is called {name!r}{nearest(name, self.names())}")
            for found in entry_points(group=self.package, name=name):
                found.load()
            if name not in self._things:
                import_module(f"{self.package}.{name}")
        return self._things[name]

    def build(self, settings: Mapping[str, Any] | str | Any, where: str = "") -> T:
        """A thing from ``{"name": ..., settings}`` or a bare name; a built thing passes through.

        Raises:
            UserError: with the key, what is wrong and the nearest right name.
        """
        if is_dataclass(settings) and not isinstance(settings, type):
            return cast(T, settings)
        if isinstance(settings, str):
            settings = {"name": settings}
        if isinstance(settings, Mapping) and self.default:
            settings = {"name": self.default, **settings}
        if not isinstance(settings, Mapping) or not isinstance(settings.get("name"), str):
            text = f"wanted a table with a name, like {{ name = '{self.names()[0]}' }}"
            raise Problems([(where or self.kind, text)])
        name = settings["name"]
        try:
            kind = self[name]
        except UserError as error:
            raise Problems([(f"{where or self.kind}.name", str(error))]) from error
        rest = {key: value for key, value in settings.items() if key != "name"}
        return cast(T, validated(kind, _moved(kind, rest, where or self.kind), where or self.kind))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: Any) -> T:
        try:
            return self.build(value)
        except Problems as problems:
            raise ShelfProblem(problems) from problems


def shelf_name(thing: Any) -> str:
    """The registered name of a thing."""
    return str(type(thing).shelf_name)


def _moved(kind: type[Any], settings: dict[str, Any], where: str) -> dict[str, Any]:
    """Settings with keys of older recipes where they stand now: ``former`` of the class says ``old: table.key``."""
    former = {old: new.split(".") for old, new in getattr(kind, "former", {}).items() if old in settings}
    out = {key: value for key, value in settings.items() if key not in former}
    for table in sorted({table for table, _ in former.values()}):
        usual: Any = next(f.default for f in fields(kind) if f.name == table)
        given = settings.get(
            table, {"name": shelf_name(usual)} | {f.name: getattr(usual, f.name) for f in fields(usual)}
        )
        given = {"name": given} if isinstance(given, str) else given
        moved = {key: settings[old] for old, (to, key) in former.items() if to == table}
        twice = [old for old, (to, key) in former.items() if to == table in settings and key in given]
        if twice:
            key = ".".join(former[twice[0]])
            raise Problems([(f"{where}.{twice[0]}", f"this is {where}.{key} now, which is given too; take only that")])
        out[table] = {**given, **moved}
    return out


class Problems(UserError):
    """Wrong settings: each a dotted key and what is wrong with it."""

    def __init__(self, items: list[tuple[str, str]]) -> None:
        self.items = items
        super().__init__("\n".join(f"{key}: {text}" for key, text in items))


class ShelfProblem(ValueError):
    """Carries ``Problems`` through pydantic, which only understands ``ValueError``."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        super().__init__(str(problems))


def validated(kind: type[Any], settings: Mapping[str, Any], where: str) -> Any:
    """A dataclass or pydantic model from plain settings.

    Raises:
        Problems: one entry for every wrong key, the unknown ones with the nearest right name.
    """
    from pydantic import ValidationError

    known = _known(kind)
    strange = [key for key in settings if key not in known]
    unknown = [(f"{where}.{key}".lstrip("."), f"unknown key{nearest(key, known)}") for key in strange]
    if unknown:
        raise Problems(unknown)
    try:
        return _validator(kind).validate_python(dict(settings))
    except ValidationError as error:
        raise Problems(_explain(error, kind, where)) from error


_VALIDATORS: dict[type[Any], TypeAdapter[Any]] = {}


def _validator(kind: type[Any]) -> TypeAdapter[Any]:
    """Kept, for making one takes longer than all else about a recipe."""
    from pydantic import TypeAdapter

    if kind not in _VALIDATORS:
        _VALIDATORS[kind] = TypeAdapter(kind)
    return _VALIDATORS[kind]


def _at(kind: type[Any], path: tuple[Any, ...]) -> type[Any]:
    """The model or dataclass that a path of field names leads to."""
    for name in path:
        if isinstance(name, int) and get_args(kind):  # one of a list
            kind = get_args(kind)[0]
        else:
            kind = get_type_hints(kind).get(str(name), kind)
    return kind


def _known(kind: type[Any]) -> list[str]:
    if is_dataclass(kind):
        return [f.name for f in fields(kind) if f.init]
    return list(kind.model_fields)


def _explain(error: Any, kind: type[Any], where: str) -> list[tuple[str, str]]:
    items: list[tuple[str, str]] = []
    for problem in error.errors():
        key = ".".join([where, *(str(part) for part in problem["loc"])]).strip(".")
        inner = problem.get("ctx", {}).get("error")
        if isinstance(inner, ShelfProblem):
            for name, text in inner.problems.items:
                tail = name.partition(".")[2]
                items.append((f"{key}.{tail}" if tail else key, text))
        elif isinstance(inner, UserError):
            items.append((key, str(inner)))
        elif problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _known(_at(kind, problem["loc"][:-1]))
            items.append((key, f"unknown key{nearest(str(problem['loc'][-1]), known)}"))
        else:
            items.append((key, f"{problem['msg'][:1].lower()}{problem['msg'][1:]} (it is {problem['input']!r})"))
    return items
