"""The arms of the demo study, its hypotheses, and what counts as support: everything that was fixed beforehand.

All arms give every person ``STEPS`` optimiser steps of eight pictures. An arm with something personal spends a quarter
of them on it. The central arm trains one client for each style on everybody's pictures of it, as many pictures a step
as its three people together have in the other arms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coterie.data.sources.studio import PROMPTS
from coterie.runs.plain import merged
from coterie.runs.reading import make_recipe
from coterie.runs.recipe import Recipe

SEEDS = (0, 1, 2)
TUNING_SEED = 100
RATES = (1.5e-3, 3e-3, 6e-3)
MOST_RATES = 5  # while the best rate is the largest or the smallest, the grid grows by another factor of two there
ROUNDS, ROUND_STEPS, BATCH = 4, 12, 8
STEPS = ROUNDS * ROUND_STEPS

COMMON: dict[str, Any] = {
    "rounds": ROUNDS,
    "engine": {"workers": 0, "width": 4, "tokens": 32},
    "evaluation": {"levels": 8, "every": ROUNDS, "copies": 8},
    "pictures": {"prompts": list(PROMPTS), "steps": 12, "hybrids": False, "every": 1000},
    "control": {},
}
_FIT = {"steps": ROUND_STEPS, "batch": BATCH}
_NONE = {"name": "none"}
_OWN = {"name": "finetune", "steps": ROUND_STEPS, "rate": 0.5}


@dataclass(frozen=True)
class Arm:
    """One way to teach, as changes of a recipe.

    Attributes:
        name: in tables.
        changes: laid over ``COMMON``.
        rate_of: the arm whose learning rate it takes, where it has none of its own to choose.
        trains: the bare model does not.
    """

    name: str
    changes: Mapping[str, Any]
    rate_of: str = ""
    trains: bool = True

    @property
    def tuned(self) -> bool:
        return self.trains and not self.rate_of

    def recipe(self, seed: int, rate: float | None, sets: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe of one run."""
        plain = merged(merged({"form": {"fit": _FIT}, **COMMON}, self.changes), {"seed": seed, **(sets or {})})
        if rate is not None:
            plain = merged(plain, {"form": {"fit": {"rate": rate}}})
        return make_recipe({**plain, "name": "demo-study", "control": {}}, f"arm {self.name}")


def _form(name: str, keeping: Mapping[str, Any] | None = _NONE, **more: Any) -> dict[str, Any]:
    kept = {} if keeping is None else {"keeping": keeping}
    return {"form": {"name": name, "fit": _FIT, **kept, **more}}


_SHORTER = {"rounds": ROUNDS - 1, "evaluation": {"every": ROUNDS - 1}}
_TOLD = {"data": {"prompt": "wish"}}
_RANDOM = {"name": "random", "sizes": [3, 3, 3, 3]}

ARMS = (
    Arm("base", {**_form("local", None), "rounds": 0}, trains=False),
    Arm("base told the wish", {**_form("local", None), "rounds": 0, **_TOLD}, trains=False),
    Arm("local", _form("local", None)),
    Arm("fedavg", _form("fedavg")),
    Arm("fedavg told the wish", {**_form("fedavg"), **_TOLD}),
    Arm("fedavg + personal", {**_form("fedavg", _OWN), **_SHORTER}),
    Arm("random clusters", _form("clustered", grouping=_RANDOM)),
    Arm("clustered", _form("clustered", grouping={"name": "wishes"})),
    Arm("clustered + personal", {**_form("clustered", _OWN, grouping={"name": "wishes"}), **_SHORTER}),
    Arm("oracle", _form("clustered", grouping={"name": "oracle"}), rate_of="clustered"),
    Arm("central per style", {
        "form": {"name": "local", "fit": {**_FIT, "batch": 3 * BATCH}}, "data": {"pool": "style"},
        "engine": {"width": 1}, "evaluation": {"copies": 0},
    }),
)  # fmt: skip


@dataclass(frozen=True)
class Hypothesis:
    """One comparison, and what must hold for it to count as supported.

    ``better`` beats ``other`` in ``measure`` by at least ``margin`` on average and by more than nothing in every seed;
    where ``people`` is given, so many of the twelve people must be better off, averaged over seeds. With ``no_worse``
    the criterion is instead that ``better`` falls behind by no more than ``margin`` on average.
    """

    name: str
    claim: str
    better: str
    other: str
    measure: str = "removed"
    margin: float = 0.01
    people: int | None = 9
    no_worse: bool = False


HYPOTHESES = (
    Hypothesis("H1", "Groups help because people are alike, not because they are few", "clustered", "random clusters"),
    Hypothesis("H2", "A group's adapter is better than one's own", "clustered", "local"),
    Hypothesis("H3", "A group's adapter is better than one for all", "clustered", "fedavg"),
    Hypothesis("H4", "Groups beat one adapter that is told everybody's wish", "clustered", "fedavg told the wish"),
    Hypothesis("H5", "A personal quarter of the steps adds to a group's adapter", "clustered + personal", "clustered",
               margin=0.005),
    Hypothesis("H6", "Groups still help when everybody ends with steps of their own", "clustered + personal",
               "fedavg + personal"),
    Hypothesis("H7", "Named wishes cost nothing against knowing the true groups", "clustered", "oracle",
               margin=0.005, people=None, no_worse=True),
    Hypothesis("H8", "Averaging inside a group costs little against pooling its pictures", "clustered",
               "central per style", margin=0.02, people=None, no_worse=True),
    Hypothesis("H9", "Pictures from groups look more like the person's style than from one for all", "clustered",
               "fedavg", measure="style", margin=0.05, people=None),
    Hypothesis("H10", "They look more like it than from one for all that is told the wish", "clustered",
               "fedavg told the wish", measure="style", margin=0.05, people=None),
    Hypothesis("H11", "The style is not bought with the subject", "clustered", "base", measure="subject",
               margin=0.10, people=None, no_worse=True),
)  # fmt: skip
