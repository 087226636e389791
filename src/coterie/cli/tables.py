"""Tables on the terminal, or the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from coterie.cli.shown import facts_in_words, meaning, people_in_words
from coterie.cli.words import size
from coterie.core.errors import UserError, nearest

if TYPE_CHECKING:
    from coterie.data.check import Checked
    from coterie.runs.doctor import Finding


def print_rows(rows: Sequence[Mapping[str, Any]], format: str, empty: str, rare: Sequence[str] = ()) -> None:
    """One line a row; the columns are the keys of the first row, the rare ones only where a row has something there."""
    if _is_json(format):
        print(json.dumps(list(rows), indent=1))
        return
    if not rows:
        print(empty)
        return
    columns = [key for key in rows[0] if key not in rare or any(row[key] for row in rows)]
    _table(columns, [[_text(row[key]) for key in columns] for row in rows])


def print_details(details: Mapping[str, Any], format: str) -> None:
    """A run: its facts, then a line a person; on the terminal without what is empty, of facts or for everybody."""
    if _is_json(format):
        print(json.dumps(details, indent=1))
        return
    facts = facts_in_words(details["facts"])
    width = max(map(len, facts))
    for label, text in facts.items():
        print(f"{label:<{width}}  {text}")
    if details["people"]:
        print()
        print_rows(people_in_words(details["people"]), "table", "")
        if said := meaning(details["people"]):
            print(f"\n{said}")
    brought = [row["person"] for row in details["people"] if row["keeps"] == "imported"]
    if brought:
        print(f"\nimported after the run and not measured: {', '.join(brought)}; their numbers are of what was trained")


def print_check(checked: Checked, format: str) -> None:
    """What ``coterie data check`` found."""
    if _is_json(format):
        print(json.dumps(asdict(checked), indent=1, default=str))
        return
    one = "document" if checked.what == "documents" else "caption"
    print(f"{checked.what:<18} {checked.num_pictures}")
    print(f"words of a {one} " + "{0} to {2}, {1} in the middle".format(*checked.caption_words))
    if len(checked.per_size) > 1:
        print("per size           " + ", ".join(f"{size}: {n}" for size, n in checked.per_size.items()))
    if checked.per_split:
        print("per split          " + ", ".join(f"{name or 'none'} {n}" for name, n in checked.per_split.items()))
    if checked.per_client:
        print()
        held = checked.held_out_per_client
        rows: list[dict[str, Any]] = []
        for name, n in checked.per_client.items():
            parts = {"to learn from": n - held[name], "held out": held[name]} if held else {}
            rows.append({"client": name or "none", checked.what: n, **parts})
        print_rows(rows, "table", "")
    told = [f"{n} x {' '.join(text.split())[:100]}" for text, n in checked.repeated_captions]
    _print_some(f"{one}s that several share", told)
    _print_some("near-duplicates", [f"{p.names[0]} ~ {p.names[1]} ({p.distance:.3f})" for p in checked.near_duplicates])
    _print_some("skipped", [f"{skipped.name}: {skipped.reason}" for skipped in checked.skipped])
    for hint in checked.hints:
        print(f"\nhint: {hint}")


def _print_some(title: str, lines: Sequence[str], most: int = 20) -> None:
    """A titled list, its end counted; nothing where there is none."""
    if lines:
        print(f"\n{title}: {len(lines)}")
    for line in lines[:most]:
        print(f"    {line}")
    if len(lines) > most:
        print(f"    and {len(lines) - most} more")


def print_comparison(found: Mapping[str, Any], format: str) -> None:
    """Runs side by side, the keys that differ, then each run against the first."""
    if _is_json(format):
        print(json.dumps(found, indent=1))
        return
    rows = [dict(row) for row in found["runs"]]
    for row in rows:
        for key in ("bare", "served", "kept"):
            row[key] = None if row[key] is None else f"{row[key]:.4f}"
        for key, way in (("up_bytes", "up"), ("down_bytes", "down")):
            sent = row.pop(key)
            row[way] = None if sent is None else size(sent)
        row["seconds"] = row.pop("seconds")
    print_rows(rows, "table", "")
    print()
    print_rows(found["keys"], "table", "The recipes decide the same.")
    for pair in found["pairs"]:
        print()
        if pair["refused"]:
            print(f"{pair['second']} and {pair['first']} are not paired: {pair['refused']}")
            continue
        span = "" if pair["low"] is None else f" (95 % interval over people {pair['low']:+.3f} to {pair['high']:+.3f})"
        print(f"{pair['second']} against {pair['first']}, share of loss removed, n = {pair['n']} people:")
        print(f"  {pair['mean']:+.3f}{span}; better for {pair['better']}, worse for {pair['worse']}")


def print_checks(checks: Sequence[Finding], format: str) -> None:
    """What ``coterie doctor`` found, a line each."""
    passed = all(check.passed for check in checks)
    if _is_json(format):
        print(json.dumps({"passed": passed, "checks": [asdict(check) for check in checks]}, indent=1))
        return
    for check in checks:
        fix = "" if check.passed or not check.fix else f"; fix: {check.fix}"
        print(f"{'PASSED' if check.passed else 'FAILED'}  {check.what}: {check.value}{fix}")
    if passed:
        print("PASSED")


def _table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    numeric = [all(row[i][:1].isdigit() or row[i][:1] in "-+" or not row[i] for row in rows) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        print("  ".join(cells).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _is_json(format: str) -> bool:
    if format not in ("table", "json"):
        raise UserError(f"--format {format}: no such format{nearest(format, ['table', 'json'])}")
    return format == "json"
