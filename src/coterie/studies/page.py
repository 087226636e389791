"""A study's page as Markdown: verdicts, tables, what a reader may and may not conclude. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10
from statistics import fmean
from typing import Any

from coterie.studies.playing import Place
from coterie.studies.recipe import BASE
from coterie.studies.verdicts import Results, Verdict, criterion_in_words

RATIOS = ("share", "reaches", "cheaper")


def page(
    place: Place, rows: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict], about: Mapping[str, Any],
    results: Results, names: Mapping[str, str], told: str,
) -> str:  # fmt: skip
    """The whole page as Markdown."""
    parts = [
        _head(place, rows, about, results),
        _verdicts(verdicts, about, names),
        _arms(rows, place, names),
        _looks(rows),
        _judges(about["measured"]) if about["measured"] else "",
        _air(rows, place, names),
        _levels(rows),
        _drift(rows),
        _target(rows, place.chosen.study.target, names),
        _found(results, rows),
        _apart(rows, results),
        _rates(place, about["choices"]),
        _conclusions(place, rows, verdicts, about, results, told),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(place: Place, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any], results: Results) -> str:
    registration, chosen = about["registration"], place.chosen
    codes = list(dict.fromkeys(f"`{found.get('code', 'not noted')}`" for found in results.values()))
    played = (
        f"one state of the code, {codes[0]}"
        if len(codes) == 1
        else f"{len(codes)} states of the code, {_listed(codes)}"
    )
    missing = "".join(f"\n- not available: **{name}**: {reason}" for name, reason in about["missing"].items())
    return (
        f"# The study {chosen.study.name}\n\nWritten by `coterie study`; do not edit. {chosen.study.question}\n\n"
        f"Setting *{chosen.name}*{': ' + chosen.setting.about if chosen.setting.about else ''}. {len(rows)} arms, "
        f"seed{'' if len(rows[0]['seeds']) == 1 else 's'} {_listed(rows[0]['seeds'])}. Hypotheses and criteria were "
        f"registered on {registration['date']}, digest "
        f"`{registration['digest']}` of the study, its people and its data; played with {played}. All numbers: "
        f"[{chosen.study.name}.json]({chosen.study.name}.json).{missing}"
    )


def _verdicts(verdicts: Sequence[Verdict], about: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if about["changed"]:
        return f"## Verdicts\n\n**Withheld: {about['changed']}.** What follows was measured; nothing was claimed."
    if not verdicts:
        return ""
    tested = [v for v in verdicts if v.outcome != "not measured"]
    held = sum(v.outcome == "supported" for v in tested)
    lines = [
        f"## Verdicts\n\n**{held} of {len(tested)} tested hypotheses were supported.**",
        *([f"{len(verdicts) - len(tested)} could not be tested here."] if len(tested) < len(verdicts) else []),
        "The unit is the client; differences are paired by seed and client, clients are averaged within their look and "
        "looks count alike. In brackets the 95 % interval of a bootstrap over seeds and clients (for *reaches* the "
        "smallest and largest of the seeds).\n",
        "| | claim | compared | measure | criterion | found | looks ahead | verdict |\n" + "|---" * 8 + "|",
    ]
    for v in verdicts:
        h = v.hypothesis
        found = "" if v.mean is None else f"{v.mean:.2g}" if h.criterion in RATIOS else f"{v.mean:+.3f}"
        found += "" if v.low is None or v.high is None else f" ({_ends(v)})"
        word = v.outcome if v.outcome == "supported" else f"**{v.outcome}**"
        measure = {"reaches": "rounds, bytes", "cheaper": "bytes"}.get(h.criterion, h.measure)
        lines.append(
            f"| {h.name} | {h.claim} | {h.better}, {h.other} | {measure} | {criterion_in_words(h)} | {found} | "
            f"{f'{v.won} of {v.of}' if v.of else ''} | {word}{f' ({v.note})' if v.note else ''} |"
        )
    if "hypotheses" in names:
        lines.append(f"\n![Paired differences]({names['hypotheses']})")
    return "\n".join(lines)


ARMS = {
    "removed": "*Removed*: share of the bare model's held-out loss that is gone, on people's own examples; mean over "
    "looks and seeds, the seeds' range, the worst tenth of people.",
    "early": "*Early*: the same after the first round, with what is served.",
    "everything": "*Everything*: the same on all held-out examples of the look.",
    "style": "*Style*: share of drawings in the person's look, less the bare model's.",
    "subject": "*Subject*: share of drawings of the right kind of subject.",
    "kid": "*KID*: kernel distance to real pictures of held-out subjects, less is better.",
    "spread": "*Spread*: how unlike each other drawings of a look are.",
}
"""What columns of numbers mean, where some arm has one."""


def _arms(rows: Sequence[Mapping[str, Any]], place: Place, names: Mapping[str, str]) -> str:
    there = [key for key in ARMS if key != "removed" and any(key in row for row in rows)]
    across, copied = any(row["across_bytes"] for row in rows), any(row["copies"][1] for row in rows)
    heads = ["arm", "removed", "range", "worst tenth", *("KID" if key == "kid" else key for key in there),
             *["copies (by chance)"] * copied, "up, MB", *["across, MB"] * across, "seconds"]  # fmt: skip
    said = " ".join(ARMS[key] for key in ["removed", *there])
    sent = "*Up*: bytes that all people together sent to the server" + (", *across*: to each other." if across else ".")
    lines = [f"## Arms\n\n{said} {sent}\n", f"| {' | '.join(heads)} |\n" + "|---" * len(heads) + "|"]
    for row in rows:
        low, high = min(row["removed"]), max(row["removed"])
        cells = [row["name"], f"{fmean(row['removed']):.3f}", f"{low:.3f} to {high:.3f}", f"{row['worst']:.3f}"]
        cells += [_mean(row[key], key) if key in row else "" for key in there]
        if copied:
            count, drawn, expected = row["copies"]
            cells.append(f"{count} of {drawn} ({expected:.0f})" if drawn else "")
        cells.append(f"{row['up_bytes'] / 1e6:.1f}")
        cells += [f"{row['across_bytes'] / 1e6:.1f}"] if across else []
        cells.append(f"{row['seconds']:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"\n![Share removed by arm]({names['arms']})")
    if "pictures" in names:
        lines += [
            f"\n![What the arms draw]({names['pictures']})\n",
            f"Drawings: {place.chosen.setting.samples} of each look, arm and seed, the same prompts and noise in all "
            "arms. Here prompts of held-out subjects, the same noise in every row, the first seed. The last columns "
            "are people who are reported apart.",
        ]
    return "\n".join(lines)


def _mean(value: float | Sequence[float], key: str) -> str:
    mean = value if isinstance(value, float) else fmean(value)
    return f"{mean:+.3f}" if key == "style" else f"{mean:.3f}"


def _three(value: float) -> str:
    """Three digits that say something, without powers of ten: 0.0136, 2.91, 117, 220,000."""
    return f"{float(f'{value:.3g}'):,.{max(0, 2 - floor(log10(value))) if value else 0}f}"


def _air(rows: Sequence[Mapping[str, Any]], place: Place, names: Mapping[str, str]) -> str:
    """Modelled time and energy; never in a column with what was measured."""
    profiles = place.chosen.study.air
    if not profiles:
        return ""
    heads = [f"{name}: {what}" for name in profiles for what in ("min", "kJ")]
    lines = [f"| arm | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for row in rows:
        if row["air"]:
            costs = [
                x for name in profiles for x in (row["air"][name]["until"] / 60, row["air"][name]["joules_until"] / 1e3)
            ]
            lines.append(f"| {row['name']} | {' | '.join(_three(x) for x in costs)} |")
    plots = "".join(f"\n\n![{label}]({names[key]})" for key, label in AIR_PLOTS.items() if key in names)
    return (
        "### On the air\n\nMinutes on a modelled clock and energy of all people's devices for the whole run, out of "
        "the bytes and the work that were counted ([how](../explanation/the-air.md)). Nothing of it was measured.\n\n"
        + "\n".join(lines)
        + plots
    )


AIR_PLOTS = {"bytes": "Held-out loss by bytes", "clock": "Held-out loss by modelled time",
             "energy": "Held-out loss by modelled energy"}  # fmt: skip


def _ends(v: Verdict) -> str:
    if v.hypothesis.criterion in RATIOS:
        return f"{v.low:.2g} to {v.high:.2g}"
    return f"{v.low:+.3f} to {v.high:+.3f}"


def _looks(rows: Sequence[Mapping[str, Any]]) -> str:
    looks = list(rows[0]["removed_by_look"])
    parts = []
    for measure, title in (("removed", "Removed"), ("style", "Style score"), ("kid", "KID")):
        key = f"{measure}_by_look"
        if all(key in row for row in rows):
            body = "\n".join(f"| {r['name']} | " + " | ".join(f"{r[key][k]:.3f}" for k in looks) + " |" for r in rows)
            parts.append(f"### {title} by look\n\n| arm | {' | '.join(looks)} |\n|---|{'---|' * len(looks)}\n{body}")
    return "\n\n".join(parts)


def _judges(measured: Mapping[str, Any]) -> str:
    said = [
        f"{name} (learned from {measured[name]['learned_from']:,} real pictures): "
        + ", ".join(f"{look} {share:.2f}" for look, share in measured[name]["right"].items())
        for name in ("style", "subject")
        if name in measured
    ]
    none = "" if "subject" in measured else " These pictures name no kinds of subjects, so the subject was not judged."
    extractor = measured["extractor"]
    return (
        "### Judges\n\nHow often they are right on real pictures of held-out subjects: " + "; ".join(said) + f".{none} "
        f"The kernel distance is measured in features of {extractor['about']} ({', '.join(extractor['sets'])}; "
        f"{extractor['learned_from']:,} pictures, none in a client's look): it is no Inception distance and can be "
        "compared with no other page's."
    )


def _levels(rows: Sequence[Mapping[str, Any]]) -> str:
    if any(len(row["levels"]) != 4 for row in rows):  # of texts there is one level
        return ""
    body = "\n".join(f"| {row['name']} | " + " | ".join(f"{x:.3f}" for x in row["levels"]) + " |" for row in rows)
    return (
        "### Removed by noise level, from nearly clean to nearly nothing but noise\n\n"
        f"| arm | clean | less | more | noisy |\n|---|---|---|---|---|\n{body}"
    )


def _drift(rows: Sequence[Mapping[str, Any]]) -> str:
    told = {
        row["name"]: [f"{row['drift'][what]:.2f}" if what in row["drift"] else "" for what in DRIFT] for row in rows
    }
    body = [f"| {name} | {' | '.join(cells)} |" for name, cells in told.items() if any(cells)]
    if not body:
        return ""
    return (
        "### How far clients go apart\n\n" + " ".join(DRIFT.values()) + " Means over rounds and groups.\n\n"
        f"| arm | {' | '.join(DRIFT)} |\n" + "|---" * (1 + len(DRIFT)) + "|\n" + "\n".join(body)
    )


DRIFT = {
    "relative": "*Relative*: how far a client moves what the adapter does in a round, as a share of all that it did.",
    "disagreement": "*Disagreement*: of that, what the average cancels, over what it keeps; 0 where all move alike.",
}


def _target(rows: Sequence[Mapping[str, Any]], target: str, names: Mapping[str, str]) -> str:
    lines = []
    for row in rows:
        if row["reached"] and row["name"] != BASE:
            got = [r for r in row["reached"] if r]
            words = ["never"] * 3 if not got else [f"{fmean(r['round'] for r in got):.1f}",
                f"{fmean(r['bytes'] for r in got) / 1e6:.1f}", f"{fmean(r['seconds'] for r in got):.0f}"]  # fmt: skip
            of = f"{len(got)} of {len(row['reached'])}"
            lines.append(f"| {row['name']} | {of} | {' | '.join(words)} |")
    if not lines:
        return ""
    return (
        f"### To the final loss of {target}\n\nIn how many seeds what is served came to that loss on people's own "
        "held-out examples at the end of a round, and with how much; seconds are of a core that others may have used "
        "too.\n\n"
        "| arm | seeds | rounds | MB up and down | seconds |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + (f"\n\n![Held-out loss by round]({names['rounds']})" if "rounds" in names else "")
    )


def _found(results: Results, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        for seed in row["seeds"]:
            labels = list(results[row["name"], seed]["clusters"].values())
            agreement = results[row["name"], seed]["agreement"]
            if labels:
                sizes = sorted((labels.count(one) for one in set(labels)), reverse=True)
                kinds = ", ".join(f"{kind} {ari:.2f}" for kind, ari in agreement.items())
                lines.append(f"| {row['name']} | {seed} | {_listed(sizes)} | {kinds} |")
    if not lines:
        return ""
    return (
        "### Groups\n\nSizes, and for groupings by wishes the agreement (adjusted Rand index) with the true looks of "
        "what the same grouping finds in each kind of wish.\n\n| arm | seed | sizes | by kind of wish |\n"
        "|---|---|---|---|\n" + "\n".join(lines)
    )


def _apart(rows: Sequence[Mapping[str, Any]], results: Results) -> str:
    names = list(rows[0]["apart"])
    if not names:
        return ""
    people = next(iter(results.values()))["people"]
    why = "".join(f"- **{name}**: {people[name]['apart']}\n" for name in names)
    body = "\n".join(f"| {r['name']} | " + " | ".join(f"{r['apart'][n]:.3f}" for n in names) + " |" for r in rows)
    return (
        f"### Reported apart\n\n{why}\nShare removed on their own held-out examples; in no mean above.\n\n"
        f"| arm | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n{body}"
    )


def _rates(place: Place, choices: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, found in choices.items():
        if "rate" not in found:
            continue
        other = place.chosen.arm(name).rate_of
        grid = _grid(found["rate"], found.get("grid", {})) or (f"as {other}" if other else "the same for all")
        more = "; ".join(
            f"{key} {tried['taken']} of {', '.join(f'{v}: {loss:.4f}' for v, loss in tried['grid'].items())}"
            for key, tried in found.get("tries", {}).items()
        )
        lines.append(f"| {name} | {found['rate']:g} | {grid} | {more} |")
    return (
        "### Learning rates and steps\n\nHeld-out loss on validation subjects, another seed; the lowest was taken.\n\n"
        "| arm | rate | grid | also tried |\n|---|---|---|---|\n" + "\n".join(lines)
    ) if lines else ""  # fmt: skip


def _grid(taken: float, losses: Mapping[str, float]) -> str:
    """Losses by rate, and where the rate that was taken is at an end of them, that beyond it nothing is known."""
    said = ", ".join(f"{rate}: {loss:.4f}" for rate, loss in losses.items())
    rates = sorted(map(float, losses))
    if len(rates) < 2 or taken not in (rates[0], rates[-1]):
        return said
    return f"{said}; none {'lower' if taken == rates[0] else 'higher'} was tried"


def _conclusions(
    place: Place, rows: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict], about: Mapping[str, Any],
    results: Results, told: str,
) -> str:  # fmt: skip
    seeds, chosen = rows[0]["seeds"], place.chosen
    people = [p for p in next(iter(results.values()))["people"].values() if not p["apart"]]
    looks = len({p["style"] for p in people})
    backbone = next(iter(results.values()))["backbone"] or "without a digest"
    may, may_not = [], []
    for v in verdicts:
        h = v.hypothesis
        if v.outcome == "supported":
            may.append(f"{h.claim} ({h.name}), here and by this measure{f'; {v.note}' if v.note else ''}.")
        elif v.outcome == "not supported":
            may_not.append(f"{h.claim} ({h.name}): the criterion was missed{f'; {v.note}' if v.note else ''}.")
        else:
            may_not.append(f"{h.claim} ({h.name}): it was not measured; {v.note}.")
    looked = f" in {looks} looks" if looks > 1 else ""
    may_not += [
        f"Anything about people at large: there are {len(people)} of this study's choosing{looked}, one frozen model "
        f"(`{backbone}`), {len(seeds)} seed{'' if len(seeds) == 1 else 's'}. A missed criterion is no proof of "
        "the opposite.",
        f"Anything about long training: {chosen.setting.about or chosen.name}.",
    ]
    if len(seeds) == 1:
        may_not.append("That another seed would say the same: there is one.")
    if chosen.study.judging and chosen.setting.samples < 400:
        may_not.append(
            f"Fine differences in KID: it is of {chosen.setting.samples} drawings a look, where 400 are wanted."
        )
    if about["changed"]:
        may_not.append(f"That anything was claimed beforehand: {about['changed']}.")
    text = "## What a reader may and may not conclude\n\n"
    if may:
        text += "May:\n\n" + "\n".join(f"- {line}" for line in may) + "\n\n"
    text += "May not:\n\n" + "\n".join(f"- {line}" for line in may_not)
    return f"{text}\n\n{told}" if told else text


def _listed(items: Sequence[Any]) -> str:
    words = [str(item) for item in items]
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
