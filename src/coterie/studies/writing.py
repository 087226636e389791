"""What a study leaves for people: its page, plots, a sheet of pictures, and all numbers as JSON."""

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
from coterie.studies.page import page
from coterie.studies.playing import Place
from coterie.studies.plots import ACCENT, AGAINST, QUIET, Line, curves, dots, sheet
from coterie.studies.recipe import BASE, Hypothesis
from coterie.studies.verdicts import Results, Verdict, seeds_of, summary, verdict

ARMS_LABEL = "share of the bare model's held-out loss removed, own examples; a dot a seed"
SHOWN = 3  # pictures of each look on the sheet


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
    names = {key: f"{name}-{key}.svg" for key in ("arms", "hypotheses", "rounds")}
    hand = place.chosen.path.with_name(f"{place.chosen.path.stem}-reading.md")
    write_bytes(folder / names["arms"], arms_plot(rows).encode())
    if rounds := rounds_plot(results, arms):
        write_bytes(folder / names["rounds"], rounds.encode())
    else:
        del names["rounds"]
    tested = [
        v for v in verdicts if v.mean is not None and v.hypothesis.criterion in ("better", "no worse", "steadier")
    ]
    if tested:
        write_bytes(folder / names["hypotheses"], hypotheses_plot(tested, results).encode())
    else:
        del names["hypotheses"]
    if study.judging:
        names["pictures"] = f"{name}-pictures.png"
        write_bytes(folder / names["pictures"], png_bytes(pictures(place, arms, rows[0]["seeds"][0])))
    for key, plot in cost_plots(results, arms, study.air).items():
        names[key] = f"{name}-{key}.svg"
        write_bytes(folder / names[key], plot.encode())
    facts = {**about, "arms": rows, "verdicts": [_plain(v) for v in verdicts]}
    plain = {"study": name, "setting": place.chosen.name, **facts}
    write_bytes(folder / f"{name}.json", (json.dumps(plain, indent=1) + "\n").encode())
    told = hand.read_text(encoding="utf-8").strip() if hand.is_file() else ""
    path = folder / f"{name}.md"
    write_bytes(path, page(place, rows, verdicts, about, results, names, told).encode())
    return path


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
        lines.append(Line(name if len(name) < 50 else f"{h.name}  {name[len(h.name) + 2 :][:44]}…", [v.mean or 0.0],
                          v.low, v.high, limit, colour))  # fmt: skip
    return dots(lines, "paired difference and its 95 % interval; blue: supported, red: not; pale: what it had to reach")


def rounds_plot(results: Results, arms: Sequence[str]) -> str:
    """Mean held-out loss after each round, over seeds; a dot for an arm with one, empty if none has several."""
    lines = {}
    for arm in arms:
        seeds = seeds_of(results, [arm])
        done = [results[arm, seed]["rounds"] for seed in seeds]
        if done and all(done):
            steps = zip(*done, strict=False)
            lines[arm] = [(float(step[0]["round"]), fmean(one["loss"] for one in step)) for step in steps]
    if all(len(line) < 2 for line in lines.values()):
        return ""
    return curves(lines, "round", "mean held-out loss of what is served")


def cost_plots(results: Results, arms: Sequence[str], profiles: Sequence[str]) -> dict[str, str]:
    """Mean held-out loss against bytes sent, and against modelled time and energy on the first profile of the air."""
    if not profiles:
        return {}
    found: dict[str, dict[str, list[tuple[float, float]]]] = {"bytes": {}, "clock": {}, "energy": {}}
    for arm in arms:
        mine = [results[arm, seed] for seed in seeds_of(results, [arm])]
        if not mine or not all(result.get("air") and result["rounds"] for result in mine):
            continue
        laps = [[lap for lap in result["air"][profiles[0]] if lap["loss"] is not None] for result in mine]
        for key, value, scale in (("clock", "until", 60), ("energy", "joules_until", 1e3)):
            found[key][arm] = _averaged(laps, value, scale)
        found["bytes"][arm] = _averaged([result["rounds"] for result in mine], "bytes", 1e6)
    labels = {
        "bytes": "MB that crossed",
        "clock": f"minutes on the modelled clock, {profiles[0]}",
        "energy": f"modelled kJ of all devices, {profiles[0]}",
    }
    up = "mean held-out loss of what is served"
    return {key: curves(lines, labels[key], up) for key, lines in found.items() if lines}


def _averaged(runs: Sequence[Sequence[Mapping[str, Any]]], key: str, scale: float) -> list[tuple[float, float]]:
    """By round the means over runs of a cost and of the loss."""
    steps = zip(*runs, strict=False)
    return [(fmean(one[key] for one in step) / scale, fmean(one["loss"] for one in step)) for step in steps]


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
