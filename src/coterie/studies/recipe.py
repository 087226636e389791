"""The recipe of a study: what all arms have in common, how each differs, and what is claimed of them beforehand."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from coterie.runs.recipe import Settings

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
        trains: whether anything is; with the bare model nothing.
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
