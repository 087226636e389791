"""Named profiles, files like them, and single numbers that override them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from coterie.air.clock import Air
from coterie.air.machine import Machine
from coterie.air.shelves import LINKS
from coterie.core.errors import UserError, nearest
from coterie.core.shelf import validated

TEXTS = ("about", "sources")
PLACES = ("cell", "device", "backhaul")


def profiles() -> dict[str, dict[str, Any]]:
    """The profiles of this package, as they are written."""
    return tomllib.loads((files("coterie.air") / "profiles.toml").read_text("utf-8"))


def air_of(name: str, sets: Sequence[str] = (), file: Path | None = None) -> tuple[Air, dict[str, Any]]:
    """A profile, and all of its numbers as plain values.

    Where numbers were overridden, these are listed as ``changed``, and ``sources`` says that it is not theirs.

    Args:
        name: of a profile.
        sets: numbers that override it, like ``cell.up=3``.
        file: tables of more profiles, which go before those of this package; a profile may say ``like = "lte"`` and
            name only what is different.

    Raises:
        UserError: with the place and what is wrong.
    """
    known = profiles() | (_read(file) if file is not None else {})
    if name not in known:
        raise UserError(f"no link profile is called {name!r}{nearest(name, sorted(known))}")
    own, plain = _whole(name, known), _whole(name, known)
    for item in sets:
        _put(plain, item)
    air = _built(plain, name)
    if changed := _differing(own, plain):
        plain["changed"] = [f"{key} = {value}" for key, value in changed.items()]
        _cite_less(plain, changed)
    return air, plain


def title_of(name: str, plain: Mapping[str, Any]) -> str:
    """What prices by a profile are called: its name, and what is not as the profile has it."""
    return f"{name}, changed: {', '.join(plain['changed'])}" if "changed" in plain else name


def _differing(own: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys that are not as a profile has them, with their values, in the order of the profile."""
    found: dict[str, Any] = {}
    for place, value in plain.items():
        before = own.get(place, "own" if place == "sharing" else None)
        if isinstance(value, Mapping):
            old = before if isinstance(before, Mapping) else {}
            found |= {f"{place}.{key}": x for key, x in value.items() if old.get(key) != x}
        elif value != before:
            found[place] = value
    return found


def _whole(name: str, known: Mapping[str, dict[str, Any]], seen: tuple[str, ...] = ()) -> dict[str, Any]:
    own = dict(known[name])
    like = own.pop("like", None)
    if like is None:
        return {key: dict(value) if isinstance(value, Mapping) else value for key, value in own.items()}
    if like not in known or like in (*seen, name):
        raise UserError(f"{name}.like: no other link profile is called {like!r}{nearest(str(like), sorted(known))}")
    below = _whole(like, known, (*seen, name)) if like != name else {}
    before = dict(below)
    for key, value in own.items():
        same = isinstance(value, Mapping) and value.get("name", _name(below, key)) == _name(below, key)
        below[key] = {**below.get(key, {}), **value} if same else value
    if "sources" not in own:
        _cite_less(below, _differing(before, {key: below[key] for key in own if key not in TEXTS}))
    return below


def _cite_less(plain: dict[str, Any], changed: Mapping[str, Any]) -> None:
    """Says of a profile's sources that some numbers are not theirs."""
    if changed and "sources" in plain:
        plain["sources"] = f"none for {', '.join(changed)}; for the other numbers: {plain['sources']}"


def _name(plain: Mapping[str, Any], key: str) -> Any:
    table = plain.get(key)
    return table.get("name") if isinstance(table, Mapping) else None


def _put(plain: dict[str, Any], item: str) -> None:
    key, equals, text = item.partition("=")
    place, dot, rest = key.strip().partition(".")
    if not equals or (dot and place not in (*PLACES, "machine")) or (not dot and place != "sharing"):
        raise UserError(f"--set {item}: wanted KEY=VALUE, like cell.up=3, machine.gflops=500 or sharing=fdma")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    if not dot:
        plain[place] = value
    else:
        plain.setdefault(place, {})[rest] = value


def _built(plain: Mapping[str, Any], name: str) -> Air:
    known = {*PLACES, "machine", "sharing", *TEXTS}
    strange = sorted(set(plain) - known)
    if strange:
        raise UserError(f"{name}.{strange[0]}: unknown key{nearest(strange[0], sorted(known))}")
    missing = [place for place in PLACES if place not in plain]
    if missing:
        raise UserError(f"{name}.{missing[0]}: missing; a profile says what is between {', '.join(PLACES)}")
    links = {place: LINKS.build(plain[place], f"{name}.{place}") for place in PLACES}
    machine = validated(Machine, dict(plain.get("machine", {})), f"{name}.machine")
    sharing = plain.get("sharing", "own")
    if sharing not in ("own", "fdma", "tdma"):
        raise UserError(f"{name}.sharing: {sharing!r} is none of own, fdma, tdma")
    return Air(links["cell"], links["device"], links["backhaul"], machine, sharing)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: no TOML file ({error})") from None
    wrong = [key for key, value in found.items() if not isinstance(value, Mapping)]
    if wrong:
        raise UserError(f"{file}: {wrong[0]}: wanted a table for each profile, like [{wrong[0]}]")
    for place in (table.get(key) for table in found.values() for key in PLACES):
        if isinstance(place, dict) and isinstance(place.get("file"), str):  # seen from the file that names it
            place["file"] = str(file.parent / place["file"])
    return found
