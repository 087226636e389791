"""What clients' machines can do, for simulations in which they are unequal: ranks, steps, paces, absences.

Nothing here is known to an algorithm but the rank: a client that is away or too late is one that did not answer, and
one that takes fewer steps sends what it has. Every draw has its own seed, so that a resumed run meets the same luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from pydantic import BeforeValidator

from coterie.core.adapter import Layout, together
from coterie.core.errors import UserError, nearest
from coterie.core.factors import FACTORS, layout_of
from coterie.core.rules import Aggregator
from coterie.core.seeds import seed_for
from coterie.core.shelf import Problems, ShelfProblem
from coterie.core.split import Portions
from coterie.engines.courier import ClientFailed


class Away(ClientFailed):
    """The client was asked and is not there in this round."""

    kind = "away"


class Straggler(ClientFailed):
    """The client would not be done before the round's deadline."""

    kind = "straggler"


@dataclass(frozen=True)
class Device:
    """One client's machine.

    Attributes:
        rank: largest that it trains; 0 is the method's own.
        share: of a round's steps that it takes.
        pace: time that it needs for a step, in units of a median client's.
        deadline: of a round, in units of a median client's whole round; 0 is none.
        late: whether a client too slow takes ``fewer`` steps or is ``dropped``.
        absence: probability that it does not answer in a round.
        overstates: how many times what it learned in a round it says that it learned.
    """

    rank: int = 0
    share: float = 1.0
    pace: float = 1.0
    deadline: float = 0.0
    late: str = "fewer"
    absence: float = 0.0
    overstates: float = 1.0

    def steps(self, steps: int) -> int:
        """How many of a round's steps it takes, at least one if there are any.

        Raises:
            Straggler: if the deadline leaves it less than its own, and those who are late are dropped.
        """
        own = min(steps, max(1, round(self.share * steps)))
        if not self.deadline:
            return own
        most = int(self.deadline * steps / self.pace + 1e-9)  # what a median client does in that time, at this pace
        if self.late == "dropped" and most < own:
            needed = self.pace * own / steps
            raise Straggler(f"too late: it needs {needed:.2f} times a median client's round, allowed {self.deadline:g}")
        return min(own, max(1, most))

    def time(self, steps: int) -> float:
        """How long it takes for a round of so many steps, in units of a median client's; for ever if it is dropped."""
        try:
            return self.pace * self.steps(steps) / max(1, steps)
        except Straggler:
            return math.inf

    def is_away(self, run_seed: int, round: int, client: str) -> bool:
        """Whether the client does not answer in a round, however often it is asked there."""
        if not self.absence:
            return False
        drawn = np.random.default_rng(seed_for(run_seed, round, client, "available")).random()
        return bool(drawn < self.absence)


def _each(wanted: str, allowed: Any) -> BeforeValidator:
    """Checks a list or a table by client, with one sentence for all that may be wrong with it."""

    def check(value: Any) -> Any:
        items = value.values() if isinstance(value, Mapping) else value
        if isinstance(items, (str, bytes)) or not isinstance(items, Iterable) or not all(map(allowed, items)):
            text = f"wanted a list of {wanted}, repeated over the clients in order of ids, or a table by client"
            raise ShelfProblem(Problems([("", f"{text} (it is {value!r})")]))
        return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else tuple(value)

    return BeforeValidator(check)


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


@dataclass(frozen=True)
class Devices:
    """What clients' machines can do; for simulations. Left out, all are alike, always there and in time.

    A list is repeated over the clients in order of their ids: `[4, 8]` gives every second client 8. A table says it by
    client; who is not in it has the usual. All of this holds in training rounds, not for what is done at the end.

    Attributes:
        ranks: of the clients' adapters, at most ``method.rank``; who has a smaller one is sent the best of that rank.
        steps: share of ``form.fit.steps`` that clients take, above 0 and at most 1; at least one step is taken.
        spread: how unequal clients are in time: the deviation of the logarithm of a step's time, whose median over
            clients is 1. Drawn once for each client, log-normal.
        deadline: of a round, in units of a median client's whole round; 0 waits for everybody.
        late: a client too slow for the deadline takes ``fewer`` steps, as many as it can and at least one, or is
            ``dropped``.
        absence: probability that an asked client does not answer in a round.
        area: side, in metres, of the square in which clients are, the base station in its middle; drawn once for each
            client. 0 leaves open where they are.
        reach: metres up to which two devices can hand over directly; 0 is any distance. Where they cannot, what one
            has for the other goes by the server.
        lost: probability that two devices within reach do not reach each other in a round.
        overstates: how many times what it learned in a round a client says that it learned, to see what one bad client
            does to the others: 1 is honest, 10 drowns them, -1 pushes the other way.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    ranks: Annotated[tuple[int, ...] | Mapping[str, int], _each("whole numbers from 1", _is_rank)] = ()
    steps: Annotated[tuple[float, ...] | Mapping[str, float], _each("numbers above 0 and up to 1", _is_share)] = ()
    spread: Annotated[float, Ge(0)] = 0.0
    deadline: Annotated[float, Ge(0)] = 0.0
    late: Literal["fewer", "dropped"] = "fewer"
    absence: Annotated[float, Ge(0), Le(1)] = 0.0
    area: Annotated[float, Ge(0)] = 0.0
    reach: Annotated[float, Ge(0)] = 0.0
    lost: Annotated[float, Ge(0), Le(1)] = 0.0
    overstates: Annotated[tuple[float, ...] | Mapping[str, float], _each("numbers", _is_number)] = ()

    def of(self, clients: Sequence[str], run_seed: int) -> dict[str, Device]:
        """Each client's machine.

        Raises:
            UserError: if a table names a client that there is not.
        """
        order = sorted(clients)
        ranks, shares = _dealt("ranks", self.ranks, order, 0), _dealt("steps", self.steps, order, 1.0)
        said, usual = _dealt("overstates", self.overstates, order, 1.0), (self.deadline, self.late, self.absence)
        return {c: Device(ranks[c], shares[c], self._pace(run_seed, c), *usual, said[c]) for c in order}

    def distinct_ranks(self, usual: int) -> set[int]:
        """All ranks there may be, where clients who are not named have the usual one."""
        if isinstance(self.ranks, Mapping):
            return {usual, *self.ranks.values()}
        return set(self.ranks) or {usual}

    def places(self, clients: Iterable[str], run_seed: int) -> dict[str, tuple[float, float]]:
        """Metres east and north of the base station by client; empty where that is left open."""
        if not self.area:
            return {}
        drawn = {c: np.random.default_rng(seed_for(run_seed, 0, c, "place")).random(2) - 0.5 for c in clients}
        return {c: (float(self.area * east), float(self.area * north)) for c, (east, north) in drawn.items()}

    def reaches(self, clients: Iterable[str], run_seed: int) -> Callable[[int, str, str], bool]:
        """Whether two clients can hand over directly in a round; both ways alike.

        Raises:
            UserError: if there is a reach and nobody knows where clients are.
        """
        places = self.places(clients, run_seed)
        if self.reach and not places:
            raise UserError(f"devices.reach: {self.reach:g} metres say nothing where devices.area is 0; set that too")

        def can(round: int, one: str, other: str) -> bool:
            if self.reach and math.dist(places[one], places[other]) > self.reach:
                return False
            pair = "\x1f".join(sorted((one, other)))
            drawn = np.random.default_rng(seed_for(run_seed, round, pair, "direct")).random() if self.lost else 1.0
            return bool(drawn >= self.lost)

        return can

    def _pace(self, run_seed: int, client: str) -> float:
        rng = np.random.default_rng(seed_for(run_seed, 0, client, "pace"))
        return float(np.exp(self.spread * rng.standard_normal()))


def layouts_for(
    layout: Layout, ranks: Iterable[int], rule: Aggregator | None = None, portions: Portions | None = None
) -> tuple[Layout, ...]:
    """All layouts that adapters on the wire may have: a run's own first, two such side by side, smaller ranks, one
    factor of each, what a rule sends besides, and what a client has of a split model.
    """
    own = [layout, *(layout.with_rank(rank) for rank in sorted(set(ranks)) if rank)]
    besides = [more for one in own for more in rule.layouts(one)] if rule else []
    single = [layout_of(one, factor) for one in own for factor in FACTORS]
    parts = [portions.client] if portions else []
    return tuple(dict.fromkeys([layout, together(layout, layout), *own, *single, *besides, *parts]))


def _dealt(key: str, given: Any, clients: Sequence[str], usual: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        strange = sorted(set(given) - set(clients))
        if strange:
            raise UserError(f"devices.{key}: there is no client called {strange[0]!r}{nearest(strange[0], clients)}")
        return {client: given.get(client, usual) for client in clients}
    return {client: given[i % len(given)] if given else usual for i, client in enumerate(clients)}
