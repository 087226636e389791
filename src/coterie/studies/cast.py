"""Who takes part in a study, in which look, and which files say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from coterie.core.errors import UserError
from coterie.core.place import Place
from coterie.data.sources.people import People
from coterie.models.shelves import makes
from coterie.runs.people import population_of
from coterie.runs.plain import as_plain
from coterie.runs.recipe import Recipe
from coterie.studies.chosen import Chosen
from coterie.studies.recipe import BASE

EVERYBODY = "everybody"  # the look of clients whose data names none
WINDOW = 500  # characters, about, that a language model scores at once
SIDE = 8  # of pictures that are only counted


@dataclass(frozen=True)
class Cast:
    """Who takes part.

    Attributes:
        looks: by client, without those who are reported apart.
        apart: clients who are in no mean, and why.
        held_out: examples that one client is measured on, about.
    """

    looks: Mapping[str, str]
    apart: Mapping[str, str]
    held_out: int


def cast_of(chosen: Chosen, recipe: Recipe | None = None) -> Cast:
    """Who takes part in a run, or in that of ``base``."""
    recipe = recipe or chosen.recipe(chosen.arm(BASE), 0)
    source = recipe.data.source
    if isinstance(source, People):
        people = source.described()[1]
        looks = {name: people[name].sets[0] for name in source.chosen(people) if not people[name].apart}
        return Cast(looks, source.apart(), source.held_out)
    texts = makes(recipe.backbone) == "texts"
    clients = population_of(recipe, 0 if texts else SIDE).clients
    held = sum(sum(map(len, c.held_out.captions)) // WINDOW if texts else len(c.held_out) for c in clients.values())
    return Cast({name: client.style or EVERYBODY for name, client in clients.items()}, {}, held // max(1, len(clients)))


class Casts:
    """Who takes part in each run of a study. Recipes with the same data and seed are looked at once."""

    def __init__(self, chosen: Chosen) -> None:
        self.chosen, self._known = chosen, dict[str, Cast]()

    def of(self, recipe: Recipe) -> Cast:
        """As ``cast_of``."""
        decides = [recipe.data, recipe.seed, recipe.changes, makes(recipe.backbone)]
        key = json.dumps(as_plain(decides), sort_keys=True)
        if key not in self._known:
            self._known[key] = cast_of(self.chosen, recipe)
        return self._known[key]


def people_of(chosen: Chosen) -> People:
    """The source of a study whose drawings are judged.

    Raises:
        UserError: if it is another one.
    """
    source = chosen.recipe(chosen.arm(BASE), 0).data.source
    if not isinstance(source, People):
        raise UserError(f"{chosen.path}: judging: what is drawn can be judged of 'people' only; leave it out")
    return source


def inputs(chosen: Chosen) -> dict[str, str]:
    """Digest by name of each file that the study reads.

    Raises:
        UserError: if one is not there.
    """
    source: Any = chosen.recipe(chosen.arm(BASE), 0).data.source
    if isinstance(source, People):
        sets, people, _ = source.described()
        used = {sets[name].path for person in people.values() for name in person.sets}
        paths = {Path(source.file).name: Path(source.file)}
        public = chosen.study.judging.public if chosen.study.judging else ()
        paths |= {name: chosen.data / name for name in sorted(used | set(public))}
    else:
        paths = {path.name: path for path in _named(source)}
    found = {}
    for name, path in paths.items():
        if not path.exists():
            raise UserError(f"{path}: no such file; say where the data lies with --data DIR")
        found[name] = _digest(path)
    return found


def _named(source: Any) -> list[Path]:
    """Files and folders that a source's settings name."""
    hints = get_type_hints(type(source), include_extras=True)
    places = {
        key for key, hint in hints.items() if any(isinstance(m, Place) for m in getattr(hint, "__metadata__", ()))
    }
    values = [getattr(source, key) for key, hint in hints.items() if key in places or hint is Path]
    return [Path(value) for value in values if value]


def _digest(path: Path) -> str:
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    found = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        found.update(f"{file.relative_to(path).as_posix()}\n".encode() + file.read_bytes())
    return found.hexdigest()[:12]
