"""What ``coterie show`` says on the terminal: keys of a run's facts and people in words, values with units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coterie.cli.words import size

FACTS = {
    "alone_in_a_cluster": "alone in a cluster",
    "alone_at_an_edge": "alone at an edge",
    "sent_bytes_per_person_and_round": "handed over by a person in a round, on average",
    "seconds": "time",
    "failures": "failed at the end",
}
PEOPLE = {
    "examples": "learns from",
    "joined": "joined before round",
    "left": "left before round",
    "own/served": "own, served",
    "own/personal": "own, personal",
    "style/served": "style, served",
    "style/personal": "style, personal",
    "copies": "like copies",
}
MEANING = {
    "own": "own: the person's own held-out examples",
    "style": "style: everybody's held-out examples of the same true style",
    "served": "served: with what the server sent",
    "personal": "personal: with what the person keeps alone",
}


def facts_in_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts of a run that are not empty; whom bytes went to stands beside them."""
    shown = {}
    for key, value in facts.items():
        if value in (None, []) or key == "sent_to":
            continue
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        if key == "seconds":
            text = spent(value)
        if key == "sent_bytes_per_person_and_round":
            text = f"{size(value)}, to {facts['sent_to']}"
        shown[FACTS.get(key, key)] = text
    return shown


def people_in_words(people: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each person, without columns that are empty for all."""
    columns = [key for key in people[0] if any(row[key] is not None for row in people)] if people else []
    return [{PEOPLE.get(key, key): _with_unit(key, row[key]) for key in columns} for row in people]


def meaning(people: Sequence[Mapping[str, Any]]) -> str:
    """What the shares in the table are, of the columns that it has; empty where it has none."""
    parts = [part for key in (people[0] if people else ()) if "/" in key and any(row[key] is not None for row in people)
             for part in key.split("/")]  # fmt: skip
    if not parts:
        return ""
    return "Shares of the bare model's held-out error removed. " + "; ".join(
        text for part, text in MEANING.items() if part in parts
    )


def _with_unit(key: str, value: Any) -> Any:
    return f"{100 * value:.1f} %" if "/" in key and value is not None else value


def spent(seconds: float) -> str:
    """A duration in words.

    >>> spent(59.4), spent(75), spent(3725)
    ('59 s', '1 min 15 s', '1 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, some = divmod(minutes, 60)
    return f"{hours} h {some} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
