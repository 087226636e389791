"""Who is there when: people who join, leave or come to wish for something else while a simulated run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_types import Ge
from pydantic import BeforeValidator

from coterie.core.errors import UserError, nearest


def _one_is_many(value: Any) -> Any:
    """``join = "nina"`` is short for a list of one."""
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class Change:
    """What is no longer as it was from a round on.

    Attributes:
        round: before which it happens.
        join: who comes; who joins in any round is not there before it. Who left may come back.
        leave: who goes: is not asked, served or scored any more. What a person keeps stays with that person.
        wish: by person, which of their wishes counts from now on: ``named``, ``paraphrased`` or ``purpose``.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    round: Annotated[int, Ge(1)]
    join: Annotated[tuple[str, ...], BeforeValidator(_one_is_many)] = ()
    leave: Annotated[tuple[str, ...], BeforeValidator(_one_is_many)] = ()
    wish: Mapping[str, Literal["named", "paraphrased", "purpose"]] = field(default_factory=dict)


class News(NamedTuple):
    """Who came, who went and who wishes for something else before a round, each in order of ids."""

    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    rewished: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """Who is to be enrolled."""
        return tuple(sorted({*self.joined, *self.rewished}))


class Attendance:
    """Who is there in each round: a pure function of the recipe, so that a resumed run finds the same people.

    Args:
        changes: of the recipe, already found possible.
        clients: everybody who is ever there.
    """

    def __init__(self, changes: Sequence[Change], clients: Sequence[str]) -> None:
        self.changes, self.clients = changes, tuple(sorted(clients))
        self._moves = moves_of(changes)

    def present(self, round: int) -> tuple[str, ...]:
        """Who takes part in a round, in order of ids; round 0 is enrolment."""
        return tuple(client for client in self.clients if there(self._moves.get(client, ()), round))

    def news(self, round: int) -> News:
        """What changed before a round; before round 0 everybody who is there at the start came."""
        if round == 0:
            return News(joined=self.present(0))
        now = [change for change in self.changes if change.round == round]
        joined = {client for change in now for client in change.join}
        left = {client for change in now for client in change.leave}
        rewished = {client for change in now for client in change.wish} - joined
        return News(tuple(sorted(joined)), tuple(sorted(left)), tuple(sorted(rewished)))

    def came(self, client: str, round: int) -> int:
        """The round in which a client that is there came, for the last time up to a round; 0 is the start."""
        return max((r for r, comes in self._moves.get(client, ()) if comes and r <= round), default=0)

    def dates(self, client: str) -> dict[str, int]:
        """In which round a client ``joined`` last, if not at the start, and ``left`` for good."""
        moves = self._moves.get(client, ())
        joined = {"joined": max(r for r, comes in moves if comes)} if any(comes for _, comes in moves) else {}
        return joined if not moves or moves[-1][1] else {**joined, "left": moves[-1][0]}


def moves_of(changes: Sequence[Change]) -> dict[str, list[tuple[int, bool]]]:
    """By client, the rounds in which it comes (True) or goes (False), in order."""
    moves: dict[str, list[tuple[int, bool]]] = {}
    for change in sorted(changes, key=lambda change: change.round):
        for clients, comes in ((change.join, True), (change.leave, False)):
            for client in clients:
                moves.setdefault(client, []).append((change.round, comes))
    return moves


def there(moves: Sequence[tuple[int, bool]], round: int) -> bool:
    """Whether somebody with these moves is there in a round; who never moves always is."""
    past = [comes for r, comes in moves if r <= round]
    return past[-1] if past else not (moves and moves[0][1])


def wishes_by_round(changes: Sequence[Change], client: str) -> tuple[tuple[int, str], ...]:
    """From which round on which kind of a client's wishes counts, in order of rounds."""
    return tuple(sorted((change.round, change.wish[client]) for change in changes if client in change.wish))


def require_possible(changes: Sequence[Change], rounds: int, where: str) -> None:
    """Raises ``UserError`` for what cannot happen, whoever the people are."""
    for change in changes:
        if change.round > rounds:
            raise UserError(f"{where}: changes: round {change.round} never comes, as the run has {rounds} rounds")
    for client, moves in moves_of(changes).items():
        for (before, came), (after, comes) in pairwise(moves):
            if before == after:
                raise UserError(
                    f"{where}: changes: {client} is named twice in round {after}; wanted join or leave, once"
                )
            if came and comes:
                raise UserError(
                    f"{where}: changes: {client} joins in round {after} but has been there since round {before}"
                )
            if not came and not comes:
                raise UserError(
                    f"{where}: changes: {client} leaves in round {after} but left in round {before} already"
                )
        for number in (r for r, _ in wishes_by_round(changes, client) if not there(moves, r)):
            raise UserError(f"{where}: changes: {client} is not there in round {number} to change a wish")
    said: set[tuple[int, str]] = set()
    for change in changes:
        for client in change.wish:
            if (change.round, client) in said:
                raise UserError(f"{where}: changes: {client} has two wishes in round {change.round}; wanted one")
            said.add((change.round, client))


def require_known(changes: Sequence[Change], wishes: Mapping[str, Mapping[str, str]]) -> None:
    """Raises ``UserError`` for changes that these people cannot make.

    Args:
        changes: found possible.
        wishes: of everybody: a sentence by kind.
    """
    for change in changes:
        for client in (*change.join, *change.leave, *change.wish):
            if client not in wishes:
                raise UserError(
                    f"changes: round {change.round}: no client is called {client!r}{nearest(client, wishes)}"
                )
        for client, kind in change.wish.items():
            known = sorted(name for name, words in wishes[client].items() if name and words)
            if kind not in known:
                has = f"; it has: {', '.join(known)}" if known else "; it has none"
                raise UserError(f"changes: round {change.round}: {client} has no wish of the kind {kind!r}{has}")
    people = Attendance(changes, tuple(wishes))
    for number in sorted({0, *(change.round for change in changes)} if changes else ()):
        if not people.present(number):
            raise UserError(f"changes: nobody is there in round {number}; somebody must be")
