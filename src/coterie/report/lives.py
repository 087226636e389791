"""Who came, left or changed a wish, and who belonged where after each round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coterie.report.read import Arm

MOST_NAMED = 3  # people in a sentence
MOST_ROUNDS = 12  # columns


def happened(event: Mapping[str, Any]) -> str:
    """What an event ``round_done`` says of people and clusters, in words; empty if nothing changed.

    >>> happened({"joined": ["nina"], "numbers": {"life/moved": 1.0, "life/ari": 0.5}})
    'nina joined; 1 changed clusters; agreement with the last grouping 0.50'
    """
    numbers, said = event.get("numbers") or {}, []
    for key, what in (("joined", "joined"), ("left", "left"), ("rewished", "with another wish")):
        who = event.get(key) or ()
        if who:
            more = f" and {len(who) - MOST_NAMED} more" if len(who) > MOST_NAMED else ""
            said.append(f"{', '.join(who[:MOST_NAMED])}{more} {what}")
    for key, what in (("moved", "changed clusters"), ("born", "new"), ("died", "gone")):
        if numbers.get(f"life/{key}"):
            said.append(f"{numbers[f'life/{key}']:.0f} {what}")
    if "life/ari" in numbers:
        said.append(f"agreement with the last grouping {numbers['life/ari']:.2f}")
    return "; ".join(said)


def others(scored: Mapping[str, int]) -> str:
    """That a loss is a mean over other people than the last one that was told.

    >>> others({"people": 5, "new": 2, "gone": 1})
    'of 5 people: 2 new, 1 gone'
    """
    changes = ", ".join(f"{scored[key]} {key}" for key in ("new", "gone") if scored[key])
    return f"of {scored['people']} {'person' if scored['people'] == 1 else 'people'}: {changes}"


def belonging(arm: Arm, clusters: Mapping[str, int], most: int = 60) -> dict[str, Any] | None:
    """A column for the start and for each round in which something changed, a row for each person; None if nothing did.

    Args:
        arm: a run.
        clusters: mark of each cluster that there is in the end; those before them get the next ones.
        most: people with a row; of more only those who went from one cluster to another, the first by name.
    """
    rounds = arm.rounds_by_number
    columns, labels = [], None
    for number, event in sorted(rounds.items()):
        now = event.get("clusters") or {}
        if labels is None or now != labels or happened(event):
            columns.append((number, now, happened(event) if number else ""))
        labels = now
    if len(columns) < 2:
        return None
    columns = columns[:1] + columns[1:][-(MOST_ROUNDS - 1) :]
    marks = dict(clusters)
    for name in sorted({k for _, now, _ in columns for k in now.values()} - marks.keys()):
        marks[name] = len(marks)
    people = sorted({client for _, now, _ in columns for client in now})
    if len(people) > most:
        people = [c for c in people if len({now[c] for _, now, _ in columns if c in now}) > 1][:most]
    return {
        "heads": [f"round {number}" if number else "start" for number, _, _ in columns],
        "rows": [
            {"name": c, "cells": [(now[c], marks[now[c]]) if c in now else None for _, now, _ in columns]}
            for c in people
        ],
        "notes": [(number, note) for number, _, note in columns if note],
    }
