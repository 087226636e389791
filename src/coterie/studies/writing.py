"""A study's page for people: verdicts, tables, plots, a sheet of pictures, and what may and may not be concluded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from coterie.engines.disk import write_bytes
from coterie.models.png import png_bytes
from coterie.studies.drawing import FILE
from coterie.studies.playing import Place
from coterie.studies.plots import ACCENT, AGAINST, QUIET, Line, curves, dots, sheet
from coterie.studies.recipe import BASE, Hypothesis
from coterie.studies.verdicts import Results, Verdict, criterion_in_words, seeds_of, summary, verdict

ARMS_LABEL = "share of the bare model's held-out loss removed, own pictures; a dot a seed"
SHOWN = 3  # pictures of each look on the sheet
COLUMNS = ("removed", "everything", "style", "subject", "kid")


def write_all(place: Place, results: Results, about: Mapping[str, Any], folder: Path) -> Path:
    """``NAME.md``, ``NAME.json``, plots and the sheet of pictures into a folder; returns the page.

    Args:
        place: the study and where it was played.
        results: committed ones by arm and seed, ``base`` among them.
        about: ``registration``, ``changed`` (why verdicts are withheld, or nothing), ``missing`` arms with the reason,
            ``choices`` by arm, and what is ``measured`` of the judges.
        folder: of the pages.
    """
    study, name = place.chosen.study, place.chosen.study.name
    arms = [arm.name for arm in study.arms if any(a == arm.name for a, _ in results) and seeds_of(results, [arm.name])]
    rows = [summary(results, arm, study.target) for arm in arms]
    registered = [Hypothesis(**h) for h in about["registration"]["hypotheses"]]
    verdicts = [] if about["changed"] else [verdict(h, results) for h in registered]
    names = {"arms": f"{name}-arms.svg", "hypotheses": f"{name}-hypotheses.svg", "rounds": f"{name}-rounds.svg",
             "pictures": f"{name}-pictures.png"}  # fmt: skip
    hand = place.chosen.path.with_name(f"{place.chosen.path.stem}-reading.md")
    write_bytes(folder / names["arms"], arms_plot(rows).encode())
    write_bytes(folder / names["rounds"], rounds_plot(results, arms).encode())
    tested = [v for v in verdicts if v.mean is not None and v.hypothesis.criterion in ("better", "no worse")]
    if tested:
        write_bytes(folder / names["hypotheses"], hypotheses_plot(tested, results).encode())
    else:
        del names["hypotheses"]
    write_bytes(folder / names["pictures"], png_bytes(pictures(place, arms, rows[0]["seeds"][0])))
    facts = {**about, "arms": rows, "verdicts": [_plain(v) for v in verdicts]}
    plain = {"study": name, "setting": place.chosen.name, **facts}
    write_bytes(folder / f"{name}.json", (json.dumps(plain, indent=1) + "\n").encode())
    told = hand.read_text(encoding="utf-8").strip() if hand.is_file() else ""
    path = folder / f"{name}.md"
    write_bytes(path, page(place, rows, verdicts, about, results, names, told).encode())
    return path


def page(
    place: Place, rows: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict], about: Mapping[str, Any],
    results: Results, names: Mapping[str, str], told: str,
) -> str:  # fmt: skip
    """The whole page as Markdown."""
    parts = [
        _head(place, rows, about),
        _verdicts(verdicts, about, names),
        _arms(rows, place, names),
        _looks(rows),
        _judges(about["measured"]),
        _levels(rows),
        _target(rows, place.chosen.study.target),
        _found(results, rows),
        _apart(rows, results),
        _rates(about["choices"]),
        _conclusions(place, rows, verdicts, about, results, told),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def arms_plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """Share removed by arm, a dot for each seed."""
    lines = [Line(row["name"], row["removed"], colour=ACCENT if "wishes" in row["name"] else QUIET)
             for row in rows if row["name"] != BASE]  # fmt: skip
    return dots(lines or [Line(BASE, [0.0])], ARMS_LABEL)


def hypotheses_plot(verdicts: Sequence[Verdict], results: Results) -> str:
    """Paired differences: the mean, its interval, what it had to reach."""
    lines = []
    for v in verdicts:
        h = v.hypothesis
        limit = -h.margin if h.criterion == "no worse" else h.margin
        name = f"{h.name}  {h.better} – {h.other}" + ("" if h.measure == "removed" else f", {h.measure}")
        colour = ACCENT if v.outcome == "supported" else AGAINST
        lines.append(Line(name if len(name) < 52 else f"{h.name}  {name[len(h.name) + 2 :][:44]}…", [v.mean or 0.0],
                          v.low, v.high, limit, colour))  # fmt: skip
    return dots(lines, "paired difference and its 95 % interval; blue: supported, red: not; pale: what it had to reach")


def rounds_plot(results: Results, arms: Sequence[str]) -> str:
    """Mean held-out loss after each round, mean over seeds; arms with one round are a dot's length."""
    lines = {}
    for arm in arms:
        seeds = seeds_of(results, [arm])
        done = [results[arm, seed]["rounds"] for seed in seeds]
        if done and all(done):
            steps = zip(*done, strict=False)
            lines[arm] = [(float(step[0]["round"]), fmean(one["loss"] for one in step)) for step in steps]
    return curves(lines or {BASE: [(0.0, 0.0), (1.0, 0.0)]}, "round", "mean held-out loss of what is served")


def pictures(place: Place, arms: Sequence[str], seed: int) -> Any:
    """The same prompts and noise in every row: a few of each look, and of everybody who is reported apart."""
    shown = [arm for arm in place.chosen.study.shown if arm in arms] or list(arms)
    rows, heads = {}, list[tuple[str, int]]()
    for name in shown:
        path = place.run(place.chosen.arm(name), seed) / FILE
        if not path.is_file():
            continue
        with np.load(path) as opened:
            found = {
                key: opened[key][:SHOWN] for key in sorted(opened.files, key=lambda k: (k.startswith("apart "), k))
            }
        heads = [(key.removeprefix("apart "), len(some)) for key, some in found.items()]
        rows[name] = [picture for some in found.values() for picture in some]
    return sheet(rows, heads) if rows else np.full((8, 8, 3), 255, np.uint8)


def _plain(v: Verdict) -> dict[str, Any]:
    return {**asdict(v), "hypothesis": v.hypothesis.model_dump(mode="json")}


def _head(place: Place, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    registration, chosen = about["registration"], place.chosen
    missing = "".join(f"\n- not available: **{name}**: {reason}" for name, reason in about["missing"].items())
    return (
        f"# The study {chosen.study.name}\n\nWritten by `coterie study`; do not edit. {chosen.study.question}\n\n"
        f"Setting *{chosen.name}*{': ' + chosen.setting.about if chosen.setting.about else ''}. {len(rows)} arms, seeds "
        f"{_listed(rows[0]['seeds'])}. Hypotheses and criteria were registered on {registration['date']}, digest "
        f"`{registration['digest']}` of the study, its people and its data. All numbers: "
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
        "| | claim | compared | measure | criterion | found | looks ahead | verdict |\n|---|---|---|---|---|---|---|---|",
    ]
    for v in verdicts:
        h = v.hypothesis
        found = (
            "" if v.mean is None else f"{v.mean:+.3f}" if h.criterion not in ("share", "reaches") else f"{v.mean:.2f}"
        )
        found += "" if v.low is None or v.high is None else f" ({v.low:+.3f} to {v.high:+.3f})"
        word = v.outcome if v.outcome == "supported" else f"**{v.outcome}**"
        measure = "rounds, bytes" if h.criterion == "reaches" else h.measure
        lines.append(
            f"| {h.name} | {h.claim} | {h.better}, {h.other} | {measure} | {criterion_in_words(h)} | {found} | "
            f"{f'{v.won} of {v.of}' if v.of else ''} | {word}{f' ({v.note})' if v.note else ''} |"
        )
    if "hypotheses" in names:
        lines.append(f"\n![Paired differences]({names['hypotheses']})")
    return "\n".join(lines)


def _arms(rows: Sequence[Mapping[str, Any]], place: Place, names: Mapping[str, str]) -> str:
    lines = [
        "## Arms\n\n*Removed*: share of the bare model's held-out loss that is gone, on people's own pictures; mean "
        "over looks and seeds, the seeds' range, the worst tenth of people. *Everything*: the same on all held-out pictures of "
        "the look. *Style*: share of drawings in the person's look, less the bare model's. *Subject*: share of drawings of "
        "the right kind of subject. *KID*: kernel distance to real pictures of held-out subjects, less is better. "
        "*Spread*: how unlike each other drawings of a look are. *Up*: bytes that all people together sent.\n",
        "| arm | removed | range | worst tenth | everything | style | subject | KID | spread | copies (by chance) | up, MB "
        "| seconds |\n|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        count, drawn, expected = row["copies"]
        copies = f"{count} of {drawn} ({expected:.0f})" if drawn else ""
        cells = [f"{fmean(row[k]):+.3f}" if k == "style" else f"{fmean(row[k]):.3f}" if k in row else ""
                 for k in COLUMNS]  # fmt: skip
        low, high = min(row["removed"]), max(row["removed"])
        lines.append(
            f"| {row['name']} | {cells[0]} | {low:.3f} to {high:.3f} | {row['worst']:.3f} | {' | '.join(cells[1:])} | "
            f"{row['spread']:.3f} | {copies} | {row['up_bytes'] / 1e6:.1f} | {row['seconds']:.0f} |"
        )
    samples = place.chosen.setting.samples
    lines += [
        f"\nDrawings: {samples} of each look, arm and seed, the same prompts and noise in all arms.",
        f"\n![Share removed by arm]({names['arms']})\n\n![What the arms draw]({names['pictures']})\n",
        "Prompts of held-out subjects, the same noise in every row; the first seed. The last columns are people who are "
        "reported apart.",
    ]
    return "\n".join(lines)


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
    body = "\n".join(f"| {row['name']} | " + " | ".join(f"{x:.3f}" for x in row["levels"]) + " |" for row in rows)
    return (
        "### Removed by noise level, from nearly clean to nearly nothing but noise\n\n"
        f"| arm | clean | less | more | noisy |\n|---|---|---|---|---|\n{body}"
    )


def _target(rows: Sequence[Mapping[str, Any]], target: str) -> str:
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
        f"### To the final loss of {target}\n\nIn how many seeds what is served came to that loss on people's own held-out "
        "pictures at the end of a round, and with how much; seconds are of a core that others may have used too.\n\n"
        "| arm | seeds | rounds | MB up and down | seconds |\n|---|---|---|---|---|\n" + "\n".join(lines)
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
        "### Groups\n\nSizes, and for groupings by wishes the agreement (adjusted Rand index) with the true looks of what "
        "the same grouping finds in each kind of wish.\n\n| arm | seed | sizes | by kind of wish |\n|---|---|---|---|\n"
        + "\n".join(lines)
    )


def _apart(rows: Sequence[Mapping[str, Any]], results: Results) -> str:
    names = list(rows[0]["apart"])
    if not names:
        return ""
    people = next(iter(results.values()))["people"]
    why = "".join(f"- **{name}**: {people[name]['apart']}\n" for name in names)
    body = "\n".join(f"| {r['name']} | " + " | ".join(f"{r['apart'][n]:.3f}" for n in names) + " |" for r in rows)
    return (
        f"### Reported apart\n\n{why}\nShare removed on their own held-out pictures; in no mean above.\n\n"
        f"| arm | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n{body}"
    )


def _rates(choices: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, found in choices.items():
        if "rate" in found:
            grid_said = ", ".join(f"{rate}: {loss:.4f}" for rate, loss in found.get("grid", {}).items())
            more = "; ".join(
                f"{key} {tried['taken']} of {', '.join(f'{v}: {loss:.4f}' for v, loss in tried['grid'].items())}"
                for key, tried in found.get("tries", {}).items()
            )
            lines.append(f"| {name} | {found['rate']:g} | {grid_said or 'not chosen: the same for all'} | {more} |")
    return (
        "### Learning rates and steps\n\nHeld-out loss on validation subjects, another seed; the lowest was taken.\n\n"
        "| arm | rate | grid | also tried |\n|---|---|---|---|\n" + "\n".join(lines)
    ) if lines else ""  # fmt: skip


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
            may.append(f"{h.claim} ({h.name}), here and by this measure.")
        elif v.outcome == "not supported":
            may_not.append(f"{h.claim} ({h.name}): the criterion was missed{f'; {v.note}' if v.note else ''}.")
        else:
            may_not.append(f"{h.claim} ({h.name}): it was not measured; {v.note}.")
    may_not += [
        f"Anything about people at large: these are {len(people)} invented ones in {looks} looks, one frozen model "
        f"(`{backbone}`), {len(seeds)} seed{'' if len(seeds) == 1 else 's'}. A missed criterion is no proof of the opposite.",
        f"Anything about long training: {(rows and chosen.setting.about) or chosen.name}.",
    ]
    if len(seeds) == 1:
        may_not.append("That another seed would say the same: there is one.")
    if chosen.setting.samples < 400:
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
