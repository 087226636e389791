"""The pages of ``coterie audit hybrids``: does mixing two clusters beat the better one alone? Over pairs and seeds.

The unit is the pair of styles; a way and the better single adapter of a pair are drawn with the same prompts and noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coterie.bank.compose import WAYS
from coterie.engines.disk import write_bytes
from coterie.evals.hierarchical import hierarchical
from coterie.runs.audit_hybrids import FULL, best_singles
from coterie.studies.plots import ACCENT, AGAINST, QUIET, Line, dots

SUBJECT_MARGIN = 0.1  # that a way may lose of the share of right subjects
SINGLE = "the better one alone"

HEAD = """# Do mixes of two clusters draw hybrids?

Written by `coterie audit hybrids`; do not edit. {pairs} pairs of styles in {runs} (seed{s} {seeds}), {prompts}
prompts, {draws} of each for every way: {pictures} pictures a way. All numbers: [hybrids.json](hybrids.json).

- **both**: a judge that learned styles from real pictures gives each picture a probability of either style; the smaller
  of the two, averaged over pictures. All of one style counts nothing, half of each counts 0.5.
- **right subject**: share of pictures that a second judge takes for the subject they were asked to be of.
- **over the better one**: `both` less that of the better single adapter of the same pair and seed, chosen after
  drawing, which favours the single one. In brackets the 95 % interval of a bootstrap over {over}.

A way is *supported* if that interval is above zero, it is ahead in more than half of the pairs (averaged over seeds),
and it loses no more than {margin} of right subjects.

"""

OVER = "seeds and pairs"
ONCE = "pairs alone: there is one seed,\n  and how much another would differ is not known"

MAY_NOT = """
## What a reader may not conclude

- That a picture with a high number is a good picture: the judge never saw a real hybrid, as there is none, and was
  measured on pure styles only.
- Anything about other styles, larger pictures or other models. At this size few styles can be had at once.
- That the ways differ from each other where their intervals overlap; {ways} ways were tried, each against the same
  single adapters, and no correction was made for that.
"""


@dataclass(frozen=True)
class Way:
    """What became of one way of mixing.

    Attributes:
        name: of the way.
        both: mean over pairs and seeds of the smaller probability.
        subject: mean share of right subjects.
        pairs: a mean difference over the better single adapter for each pair.
        mean: of these.
        low: lower end of the 95 % interval; None where there is one number.
        high: upper end.
        supported: whether all three conditions hold.
    """

    name: str
    both: float
    subject: float
    pairs: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    supported: bool


def write_hybrids(audits: Mapping[str, Mapping[str, Any]], folder: Path) -> Path:
    """Writes ``hybrids.json``, ``hybrids.svg`` and ``hybrids.md``, which is returned.

    Args:
        audits: what ``audit_hybrids`` found, by run; sheets of the first are in ``folder``.
        folder: for the files.
    """
    ways = judged(list(audits.values()))
    write_bytes(folder / "hybrids.json", (json.dumps(audits, indent=1, sort_keys=True) + "\n").encode())
    lines = [Line(w.name, w.pairs, w.low, w.high, 0.0, ACCENT if w.supported else _colour(w)) for w in ways[1:]]
    write_bytes(folder / "hybrids.svg", dots(lines, "both, over the better one alone; a dot for each pair").encode())
    write_bytes(folder / "hybrids.md", page(list(audits.values()), ways).encode())
    return folder / "hybrids.md"


def judged(audits: Sequence[Mapping[str, Any]]) -> list[Way]:
    """The better single adapter first, then every way, over the pairs that all audits have."""
    single = [best_singles(found["rows"]) for found in audits]
    pairs = common_pairs(audits)
    alone = {key: _table(single, pairs, key) for key in ("both", "subject")}
    found = [_way(SINGLE, alone, alone)]
    for name in (*WAYS, FULL):
        mine = [{row["styles"]: row for row in audit["rows"] if row["way"] == name} for audit in audits]
        found.append(_way(name, {key: _table(mine, pairs, key) for key in ("both", "subject")}, alone))
    return found


def common_pairs(audits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pairs of styles that were drawn in every run, by name."""
    return sorted(set.intersection(*({row["styles"] for row in audit["rows"]} for audit in audits)))


def page(audits: Sequence[Mapping[str, Any]], ways: Sequence[Way]) -> str:
    """All of it in Markdown."""
    first, pairs = audits[0], common_pairs(audits)
    seeds = [str(audit["seed"]) for audit in audits]
    text = HEAD.format(
        pairs=len(pairs), runs="one run" if len(audits) == 1 else f"{len(audits)} runs", s="s" * (len(audits) > 1),
        over=OVER if len(seeds) > 1 else ONCE, seeds=", ".join(seeds),
        prompts=first["prompts"], draws=first["draws"], margin=SUBJECT_MARGIN,
        pictures=len(audits) * len(pairs) * first["prompts"] * first["draws"],
    )  # fmt: skip
    text += (
        "| way | both | right subject | over the better one | pairs ahead | verdict |\n|---|---:|---:|---|---:|---|\n"
    )
    for way in ways:
        if way.name == SINGLE:
            text += f"| {SINGLE} | {way.both:.3f} | {way.subject:.2f} | | | |\n"
            continue
        between = "" if way.low is None else f" ({way.low:+.3f} to {way.high:+.3f})"
        verdict = "supported" if way.supported else "**not supported**"
        ahead = sum(difference > 0 for difference in way.pairs)
        text += f"| {_code(way.name)} | {way.both:.3f} | {way.subject:.2f} | {way.mean:+.3f}{between} | "
        text += f"{ahead} of {len(way.pairs)} | {verdict} |\n"
    text += "\n![For every way the difference of each pair](hybrids.svg)\n\n## What was drawn\n\n"
    text += f"Of seed {seeds[0]}; a row for each single adapter and way, a column for each prompt.\n"
    for styles in pairs:
        text += f"\n![{styles.replace('+', ' and ')}](hybrids-{styles.replace('+', '-')}.png)\n"
    return text + _may(ways) + MAY_NOT.format(ways=len(ways) - 1)


def _may(ways: Sequence[Way]) -> str:
    """Only what the numbers say."""
    single, *others = ways
    held = [way for way in others if way.supported]
    text = "\n## What a reader may conclude\n\n"
    if not held:
        return text + "- No way of mixing draws two styles at once better than the better of the two adapters alone.\n"
    best = max(held, key=lambda way: way.mean)
    named = ", ".join(_code(way.name) for way in held)
    text += f"- More of both styles is in one picture than with the better adapter alone when mixed so: {named}.\n"
    text += f"- How much: {best.both:.3f} where the better one alone has {single.both:.3f}, of 0.5 that could be had.\n"
    rest = [way for way in others if not way.supported]
    if rest:
        text += f"- Not shown for {', '.join(_code(way.name) for way in rest)}.\n"
    return text


def _way(
    name: str, mine: Mapping[str, NDArray[np.float64]], alone: Mapping[str, NDArray[np.float64]]
) -> Way:  # tables are (seeds, pairs)
    difference = mine["both"] - alone["both"]
    interval, pairs = hierarchical(difference), tuple(float(x) for x in difference.mean(0))
    ahead = 2 * sum(x > 0 for x in pairs) > len(pairs)
    kept = float((mine["subject"] - alone["subject"]).mean()) >= -SUBJECT_MARGIN
    supported = interval.low is not None and interval.low > 0 and ahead and kept
    both, subject = float(mine["both"].mean()), float(mine["subject"].mean())
    return Way(name, both, subject, pairs, interval.mean, interval.low, interval.high, supported)


def _table(rows: Sequence[Mapping[str, Mapping[str, Any]]], pairs: Sequence[str], key: str) -> NDArray[np.float64]:
    return np.array([[row[pair][key] for pair in pairs] for row in rows], np.float64)


def _colour(way: Way) -> str:
    return AGAINST if way.high is not None and way.high < 0 else QUIET


def _code(name: str) -> str:
    way, comma, more = name.partition(",")
    return f"`{way}`{comma}{more}"
