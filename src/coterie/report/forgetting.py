"""How much a relayed adapter has forgotten of those it left behind, as the journal has it."""

from __future__ import annotations

from typing import Any

from coterie.report.read import Arm

MOST_ROUNDS = 12


def forgetting(arm: Arm) -> dict[str, Any] | None:
    """A row for each round in which it was measured, many thinned to a few; None if it never was."""
    rows = []
    for number, event in sorted(arm.rounds_by_number.items()):
        found = {k.removeprefix("forgetting"): float(v) for k, v in (event.get("numbers") or {}).items() if _is_one(k)}
        people = {key[1:]: v for key, v in found.items() if key and not key.startswith("/hop-")}
        hops = [v for key, v in sorted(found.items()) if key.startswith("/hop-")]
        if people:
            whose = max(people, key=lambda client: people[client])
            rows.append({"round": number, "mean": found[""], "most": people[whose], "whose": whose, "hops": hops})
    if not rows:
        return None
    thinned = len(rows) > MOST_ROUNDS
    if thinned:
        rows = [rows[round(i * (len(rows) - 1) / (MOST_ROUNDS - 1))] for i in range(MOST_ROUNDS)]
    return {"rows": rows, "hops": any(row["hops"] for row in rows), "thinned": thinned}


def _is_one(key: str) -> bool:
    return key.partition("/")[0] == "forgetting"
