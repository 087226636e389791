"""The recipe of a study: what all arms have in common, how each differs, and what is claimed of them beforehand."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from coterie.core.errors import UserError, nearest
from coterie.core.shelf import Problems, validated
from coterie.runs.places import moved, seen_from, whole
from coterie.runs.plain import as_plain, merged
from coterie.runs.recipe import Recipe, Settings, make_recipe

BASE = "base"  # the arm that all shares are of
LOWER_IS_BETTER = ("kid",)
JUDGED = ("style", "subject", "kid")
MEASURES = ("removed", "everything", "early", "style", "subject", "kid")
LATER = {"judging": None, "air": (), "even": (), "bare": "base", "under": (), "rates": (), "conditions": ()}
"""Keys that came after the first registrations, with what they are where nobody sets them."""


class Hypothesis(Settings):
    """One comparison, and what must hold for it to count as supported.

    ``better``: on average by ``margin`` or more, the 95 % interval above zero, and in so many ``won`` styles.
    ``no worse``: the interval's lower end is not below ``-margin``. ``share``: the gain of ``better`` over ``other`` is
    at least ``margin`` of the gain of ``reference`` over ``other``. ``reaches``: in every seed, ``better`` is at the
    final held-out loss of ``other`` after at most ``margin`` of its rounds and of its bytes, to a hundredth.
    ``steadier``: ``better`` loses less than ``other`` against what both are without the trouble, the two arms ``even``,
    by ``margin`` or more, the interval above zero. ``cheaper``: in every seed, clients of ``better`` send at most
    ``margin`` of the bytes of those of ``other``.

    Attributes:
        name: short, for tables.
        claim: in one sentence.
        better: the arm that should be ahead.
        other: the arm that it is compared with.
        criterion: see above.
        measure: ``removed`` (own held-out examples), ``early`` (the same after the first round, with what is served),
            ``everything`` (all held-out pictures of the look), ``style``, ``subject`` or ``kid``; of no meaning for
            ``reaches`` and ``cheaper``.
        margin: see above.
        won: for ``better``: styles in which the mean must be ahead.
        reference: for ``share``: the arm whose gain counts as the whole.
        even: for ``steadier``: what ``better`` and what ``other`` is without the trouble.
    """

    name: str
    claim: str
    better: str
    other: str
    criterion: Literal["better", "no worse", "share", "reaches", "steadier", "cheaper"] = "better"
    measure: Literal["removed", "everything", "early", "style", "subject", "kid"] = "removed"
    margin: float = Field(0.01, ge=0)
    won: int = Field(0, ge=0)
    reference: str = ""
    even: tuple[str, ...] = Field((), max_length=2)


class Arm(Settings):
    """One way to teach.

    Attributes:
        name: in tables.
        changes: keys of the recipe, laid over ``common``.
        rate_of: the arm whose learning rate it takes, where it has none of its own to choose.
        trains: the bare model does not.
        budget: how the steps are spent: in ``rounds``; all ``once``, in a single round; or the last round's as steps of
            one's own (``own last``).
        tries: dotted keys and the values that are tried on validation subjects, after the learning rate.
        bare: whose loss shares are of: that of the arm ``base``, or what clients measured themselves before the first
            round (``own``), for an arm with other clients.
        rates: learning rates that it chooses from, where the setting's are not for it; where the setting has only one,
            the middle one is taken.
        under: names of conditions: there is an arm ``NAME: CONDITION`` for each then, all with the rate of the first.
    """

    name: str = Field(pattern=r"^[^/\\]+$")
    changes: dict[str, Any] = Field(default_factory=dict)
    rate_of: str = ""
    trains: bool = True
    budget: Literal["rounds", "once", "own last"] = "rounds"
    tries: dict[str, list[Any]] = Field(default_factory=dict)
    bare: Literal["base", "own"] = "base"
    rates: tuple[float, ...] = ()
    under: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.name.casefold()).strip("-")


class Condition(Settings):
    """Something that several arms are tried under.

    Attributes:
        name: stands after an arm's name.
        changes: keys of the recipe, laid over the arm's.
        bare: as of an arm.
    """

    name: str = Field(pattern=r"^[^/\\]+$")
    changes: dict[str, Any] = Field(default_factory=dict)
    bare: Literal["base", "own"] = "base"


class Setting(Settings):
    """How much of the study is played.

    Attributes:
        about: one line.
        seeds: of the runs.
        rates: learning rates that every arm chooses from; a single one is taken as it is.
        samples: pictures drawn for each style and arm, for judges and the kernel distance.
        drawing_steps: of each of them.
        common: laid over the study's ``common``.
        tuning: laid over it in the runs that choose rates.
        tries: whether arms try what they may beside the rate.
        epochs: of the judges' learning.
        most: pictures of a class that a judge learns from; 0 is all.
    """

    about: str = ""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    rates: tuple[float, ...] = Field((3e-3,), min_length=1)
    samples: int = Field(48, ge=2)
    drawing_steps: int = Field(12, ge=1)
    common: dict[str, Any] = Field(default_factory=dict)
    tuning: dict[str, Any] = Field(default_factory=dict)
    tries: bool = True
    epochs: int = Field(8, ge=1)
    most: int = Field(0, ge=0)


class Judging(Settings):
    """What the judges learn from beside the pictures that nobody holds.

    Attributes:
        public: parquet files of drawings in no client's look, in the folder of the data: the class *other* of the judge
            of styles, and all that the kernel distance's network ever sees.
        subjects: whether judges learn from ``others`` than the held-out subjects only, or from ``all``, where what is
            new is the person and not the subject.
    """

    public: tuple[str, ...] = Field(min_length=1)
    subjects: Literal["others", "all"] = "others"


class Study(Settings):
    """A whole study.

    Attributes:
        name: of the study and of its pages.
        question: in one or two sentences.
        common: tables of the recipe that all arms share; ``{data}`` in its source is the folder of the data.
        settings: by name.
        arms: one of them ``base``.
        conditions: that arms are tried under.
        hypotheses: registered before the first run.
        judging: what judges learn from, where drawings are judged; ``data.source`` is ``people`` then.
        air: profiles of the air that every run is priced with.
        tuning_seed: of the runs that choose rates.
        most_rates: while the best rate is at an end of the grid it grows there by a factor of two, up to so many.
        target: the arm whose final loss the others are timed to.
        shown: arms on the sheet of pictures; none are all.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    question: str
    common: dict[str, Any]
    settings: dict[str, Setting]
    arms: tuple[Arm, ...]
    conditions: tuple[Condition, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    judging: Judging | None = None
    air: tuple[str, ...] = ()
    tuning_seed: int = Field(100, ge=0)
    most_rates: int = Field(5, ge=1)
    target: str = "fedavg"
    shown: tuple[str, ...] = ()


_TABLES: dict[str, type[Any]] = {
    "settings": Setting,
    "arms": Arm,
    "conditions": Condition,
    "hypotheses": Hypothesis,
    "judging": Judging,
}


@dataclass(frozen=True)
class Chosen:
    """A study at one setting, with the data where it lies.

    Attributes:
        study: as read.
        path: of its file.
        name: of the setting.
        data: folder of the data files.
    """

    study: Study
    path: Path
    name: str
    data: Path

    @property
    def setting(self) -> Setting:
        return self.study.settings[self.name]

    def arm(self, name: str) -> Arm:
        """By name.

        Raises:
            UserError: with the nearest name.
        """
        for arm in self.study.arms:
            if arm.name == name:
                return arm
        raise UserError(f"{self.path}: no arm is called {name!r}{nearest(name, [a.name for a in self.study.arms])}")

    def rates(self, arm: Arm) -> tuple[float, ...]:
        """Learning rates that an arm chooses from."""
        if not arm.rates:
            return self.setting.rates
        return arm.rates if len(self.setting.rates) > 1 else (arm.rates[len(arm.rates) // 2],)

    def recipe(self, arm: Arm, seed: int, sets: Mapping[str, Any] | None = None, tuning: bool = False) -> Recipe:
        """The recipe of one run.

        Args:
            arm: which.
            seed: of the run.
            sets: tables laid over all others, like the learning rate.
            tuning: whether it is measured on validation subjects.

        Raises:
            UserError: if the arm asks for what there is not.
        """
        where = f"{self.path}: arms.{arm.name}"
        plain = merged(self.study.common, self.setting.common)
        if tuning:
            plain = merged(merged(plain, {"data": {"test": "validation"}}), self.setting.tuning)
        plain = merged(plain, arm.changes)
        plain = merged(plain, {"seed": seed, "name": self.study.name, **(sets or {})})
        plain["data"] = _lying(plain.get("data", {}), self.data)
        plain = moved(plain, Recipe, seen_from(self.path.parent))
        plain = _spent(plain, arm)
        recipe = make_recipe({**plain, "control": {}}, where)
        source: Any = recipe.data.source
        if is_dataclass(source) and "folder" in {f.name for f in fields(source)}:
            plain["data"]["source"]["folder"] = str(self.data)
            recipe = make_recipe({**plain, "control": {}}, where)
        return make_recipe(moved(as_plain(recipe), Recipe, whole), where)


def _lying(plain: Any, data: Path) -> Any:
    """Settings with the folder of the data in its place."""
    if isinstance(plain, Mapping):
        return {key: _lying(value, data) for key, value in plain.items()}
    return plain.replace("{data}", str(data)) if isinstance(plain, str) else plain


def _spent(plain: dict[str, Any], arm: Arm) -> dict[str, Any]:
    """The same steps in other rounds, as the arm's budget says."""
    rounds, fit = int(plain.get("rounds", 3)), plain.get("form", {}).get("fit", {})
    steps = int(fit.get("steps", 16))
    if arm.budget == "once":
        return merged(plain, {"rounds": 1, "form": {"fit": {"steps": rounds * steps}}})
    if arm.budget == "own last":
        return merged(plain, {"rounds": rounds - 1, "form": {"keeping": {"steps": steps}}})
    return plain


def read_study(path: Path) -> Study:
    """The study of a file.

    Raises:
        UserError: with the file, the key, what is wrong and the nearest right name.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        others = sorted(p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        raise UserError(f"{path}: no such study{nearest(path.name, others) if others else ''}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: the study cannot be read: {error}") from error
    try:
        for key, kind in _TABLES.items():
            for where, table in _tables(key, plain.get(key)):
                validated(kind, table, where)
        study: Study = validated(Study, plain, "")
    except Problems as problems:
        raise UserError("\n".join(f"{path}: {key}: {text}" for key, text in problems.items)) from problems
    study = _crossed(study, path)
    _require_arms(study, path)
    return study


def _crossed(study: Study, path: Path) -> Study:
    """The study with an arm for each of the conditions that it is tried under."""
    known, arms = {one.name: one for one in study.conditions}, list[Arm]()
    for arm in study.arms:
        for name in arm.under:
            if name not in known:
                raise UserError(f"{path}: arms.{arm.name}.under: no condition is called {name!r}{nearest(name, known)}")
        first = f"{arm.name}: {arm.under[0]}" if arm.under else ""
        for name in arm.under:
            both, one = f"{arm.name}: {name}", known[name]
            changes = merged(arm.changes, one.changes)
            rate_of = arm.rate_of or ("" if both == first else first)
            more = {"name": both, "changes": changes, "rate_of": rate_of, "bare": one.bare, "under": ()}
            arms.append(arm.model_copy(update=more))
        if not arm.under:
            arms.append(arm)
    return study.model_copy(update={"arms": tuple(arms)})


def _tables(key: str, value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Tables of one kind with the key that a complaint names; what is no table is left for the whole to find."""
    if key == "judging":
        return [(key, value)] if isinstance(value, Mapping) else []
    if isinstance(value, Mapping):
        return [(f"{key}.{name}", table) for name, table in value.items() if isinstance(table, Mapping)]
    rows = value if isinstance(value, list) else []
    return [(f"{key}.{row.get('name', i)}", row) for i, row in enumerate(rows) if isinstance(row, Mapping)]


def _require_arms(study: Study, path: Path) -> None:
    names = [arm.name for arm in study.arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"{path}: arms: {twice!r} is there {names.count(twice)} times; wanted each name once")
    if BASE not in names:
        raise UserError(f"{path}: arms: none is called 'base'; all shares are of the bare model's loss")
    said = [(f"arms.{a.name}.rate_of", a.rate_of) for a in study.arms]
    said += [(f"hypotheses.{h.name}.{key}", getattr(h, key)) for h in study.hypotheses
             for key in ("better", "other", "reference")]  # fmt: skip
    said += [(f"hypotheses.{h.name}.even", name) for h in study.hypotheses for name in h.even]
    said += [("target", study.target), *(("shown", name) for name in study.shown)]
    for where, name in said:
        if name and name not in names:
            raise UserError(f"{path}: {where}: no arm is called {name!r}{nearest(name, names)}")
    for h in study.hypotheses:
        if h.criterion == "share" and not h.reference:
            raise UserError(f"{path}: hypotheses.{h.name}: a share needs a reference, like reference = 'oracle'")
        if (h.criterion == "steadier") != (len(h.even) == 2):
            raise UserError(f"{path}: hypotheses.{h.name}.even: 'steadier' takes two arms there, nothing else does")
        if h.measure in JUDGED and study.judging is None:
            raise UserError(f"{path}: hypotheses.{h.name}.measure: {h.measure} is of drawings; add the table [judging]")


def chosen(path: Path, setting: str, data: Path | None) -> Chosen:
    """A study at one setting.

    Raises:
        UserError: see ``read_study``; or there is no such setting.
    """
    study = read_study(path)
    if setting not in study.settings:
        raise UserError(f"{path}: no setting is called {setting!r}{nearest(setting, study.settings)}")
    return Chosen(study, path, setting, (data or Path(".")).absolute())
