"""The study's results for people: one page of text with every table, two plots and one sheet of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from arms import ARMS, SEEDS
from judging import CENTRAL
from playing import folder_of

from coterie.data.sources.studio import PROMPTS, population
from coterie.models.png import sheet
from coterie.report.read import pictures_in

INK, QUIET, ACCENT, AGAINST = "#1d1c1a", "#8a867c", "#1b5fae", "#b4451f"
SHEET_ARMS = ("base", "base told the wish", "local", "fedavg", "fedavg told the wish", "clustered",
              "clustered + personal", "central per style")  # fmt: skip
SHEET_PEOPLE = ("ada", "finn", "dov", "edda", "cleo", "gus", "bo", "ivo")
SHEET_PROMPTS = (0, 5)  # of the eight that everybody is drawn


def text(results: Mapping[str, Any]) -> str:
    """The whole page as Markdown."""
    arms, seeds = results["arms"], results["seeds"]
    held = sum(h["supported"] for h in results["hypotheses"])
    lines = [
        "# The demo study",
        "",
        f"Written by `studies/demo.py` from {len(arms)} arms and seeds {_listed(seeds)}; do not edit. What was fixed "
        "beforehand, what each arm is and what is measured: [preregistration.md](preregistration.md). All numbers by "
        "seed and person: `src/coterie/report/studies/demo.json`.",
        "",
        f"**{held} of {len(results['hypotheses'])} hypotheses were supported.**",
        "",
        "## Verdicts",
        "",
        "Differences are paired by seed and person; in brackets the smallest and largest of the seeds.",
        "",
        "| | claim | compared | measure | criterion | difference | people better off | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for h in results["hypotheses"]:
        wanted = f"no worse by {h['margin']:g}" if h["no_worse"] else f"better by {h['margin']:g}"
        lines.append(
            f"| {h['name']} | {h['claim']} | {h['better']}, {h['other']} | {h['measure']} | {wanted} | "
            f"{h['mean']:+.3f} ({min(h['per_seed']):+.3f} to {max(h['per_seed']):+.3f}) | "
            f"{h['people_ahead']} of {h['people']} | {'supported' if h['supported'] else '**not supported**'} |"
        )
    lines += [
        "",
        "![Paired differences of the hypotheses](demo-hypotheses.svg)",
        "",
        "## Arms",
        "",
        "*Removed*: share of the bare model's held-out loss that is gone, on people's own pictures; mean over people "
        "and seeds, range over seeds, and the worst person. *Of the style*: the same on everybody's held-out pictures "
        "of the style. *Style*: share of drawings in the person's style, less the bare model's. *Subject*: share of "
        "drawings of the right group of subjects. *Up*: bytes that all people together sent for training.",
        "",
        "| arm | removed | range | worst person | of the style | style | subject | copies (by chance) | up, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        copies = f"{arm['copies']} of {arm['copies_of']} ({arm['copies_expected']:.0f})" if arm["copies_of"] else ""
        lines.append(
            f"| {arm['name']} | {arm['mean']:.3f} | {min(arm['per_seed']):.3f} to {max(arm['per_seed']):.3f} | "
            f"{arm['worst']:.3f} | {fmean(arm['of_style']):.3f} | {fmean(arm['style']):+.3f} | "
            f"{fmean(arm['subject']):.3f} | {copies} | {arm['up_bytes'] / 1e6:.1f} |"
        )
    styles = list(arms[0]["by_style"])
    lines += [
        "",
        "![Share removed by arm](demo-arms.svg)",
        "",
        "![What the arms draw](demo-pictures.png)",
        "",
        f"Two prompts of subjects that nobody trained on, each drawn for {_listed(SHEET_PEOPLE)}. Seed 0, the same "
        "noise in every row.",
        "",
        "### Style score by style",
        "",
        f"| arm | {' | '.join(styles)} |",
        "|---|" + "---|" * len(styles),
    ]
    lines += [f"| {a['name']} | " + " | ".join(f"{a['by_style'][s]:+.3f}" for s in styles) + " |" for a in arms]
    on_style, on_subject = results["judges"]["style"], results["judges"]["subject"]
    lines += [
        "",
        "The judges on people's real held-out pictures: style "
        + ", ".join(f"{s} {share:.2f}" for s, share in on_style.items())
        + "; subject "
        + ", ".join(f"{s} {share:.2f}" for s, share in on_subject.items())
        + ". The subject judge has seen no pixel art.",
        "",
        "### Removed by noise level, from nearly clean to nearly nothing but noise",
        "",
        "| arm | clean | less | more | noisy |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {a['name']} | " + " | ".join(f"{x:.3f}" for x in a["levels"]) + " |" for a in arms]
    lines += [
        "",
        "### Learning rates",
        "",
        "Held-out loss on validation subjects, another seed; the lowest was taken.",
        "",
        "| arm | chosen | grid |",
        "|---|---|---|",
    ]
    for name, found in results["rates"].items():
        grid = ", ".join(f"{rate}: {loss:.4f}" for rate, loss in found["grid"].items())
        lines.append(f"| {name} | {found['rate']:g} | {grid} |")
    lines += [f"| {arm.name} | as {arm.rate_of} | |" for arm in ARMS if arm.rate_of]
    found = {seed: sorted(_sizes(labels)) for seed, labels in results["clusters"].items()}
    lines += [
        "",
        "### Groups found from the named wishes",
        "",
        *(f"- seed {seed}: {len(sizes)} groups of {_listed(sizes)}" for seed, sizes in found.items()),
    ]
    return "\n".join(lines) + "\n"


def plots(results: Mapping[str, Any], folder: Path) -> None:
    """``demo-arms.svg`` and ``demo-hypotheses.svg``: a dot for each seed, a bar at their mean."""
    plt.rcParams.update({"font.size": 11, "svg.hashsalt": "coterie", "text.color": INK, "axes.edgecolor": QUIET})
    arms = [arm for arm in results["arms"] if arm["name"] != "base"][::-1]
    rows = [(arm["name"], arm["per_seed"], ACCENT if arm["name"].startswith("clustered") else QUIET) for arm in arms]
    _dots(rows, "share of the bare model's held-out loss removed", folder / "demo-arms.svg")
    tested = list(reversed(results["hypotheses"]))
    rows = [
        (f"{h['name']}  {h['better']} – {h['other']}{'' if h['measure'] == 'removed' else ', ' + h['measure']}",
         h["per_seed"], ACCENT if h["supported"] else AGAINST)
        for h in tested
    ]  # fmt: skip
    limits = [-h["margin"] if h["no_worse"] else h["margin"] for h in tested]
    label = "paired difference\nblue: supported, red: not; grey tick: what the mean had to reach"
    _dots(rows, label, folder / "demo-hypotheses.svg", limits)


def _dots(
    rows: Sequence[tuple[str, Sequence[float], str]], label: str, path: Path, limits: Sequence[float] = ()
) -> None:
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.1), layout="constrained")
    axes.axvline(0, color=QUIET, linewidth=1)
    for y, (_, values, colour) in enumerate(rows):
        axes.plot([fmean(values)] * 2, [y - 0.28, y + 0.28], color=colour, linewidth=3, solid_capstyle="butt")
        axes.scatter(values, [y] * len(values), s=34, color=colour, alpha=0.55, linewidths=0, zorder=3)
    for y, limit in enumerate(limits):
        axes.plot([limit] * 2, [y - 0.18, y + 0.18], color="#c9c4b8", linewidth=2.5, zorder=1)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel(label)
    axes.grid(axis="x", color="#e6e2d8")
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None})
    plt.close(figure)


def sheet_of_pictures(root: Path, path: Path) -> None:
    """What eight people's adapters draw of two prompts in eight arms, one arm a row."""
    styles = {name: str(client.style) for name, client in population().clients.items()}
    rows = []
    for arm in (arm for name in SHEET_ARMS for arm in ARMS if arm.name == name):
        folder = folder_of(root, arm, SEEDS[0]) / "sites"
        drawn = {
            name: pictures_in(folder / (styles[name] if arm is CENTRAL else name) / "pictures" / "final")
            for name in SHEET_PEOPLE
        }
        rows.append([drawn[name][prompt] for prompt in SHEET_PROMPTS for name in SHEET_PEOPLE])
    picture = sheet(rows, 2)
    high, wide = (length / 100 for length in picture.shape[:2])
    margin, head = 1.75, 0.5
    figure = plt.figure(figsize=(wide + margin, high + head), dpi=100)
    figure.figimage(picture, margin * 100, 0)
    for row, name in enumerate(SHEET_ARMS):
        figure.text(1.65 / (wide + margin), 1 - (head + (row + 0.5) * high / len(rows)) / (high + head), name,
                    ha="right", va="center", color=INK)  # fmt: skip
    columns = len(SHEET_PROMPTS) * len(SHEET_PEOPLE)
    for column in range(0, columns, 2):
        x = (margin + (column + 1) * wide / columns) / (wide + margin)
        name = styles[SHEET_PEOPLE[column % len(SHEET_PEOPLE)]]
        figure.text(x, 1 - 0.4 / (high + head), name, ha="center", va="center", color=QUIET)
        if column % len(SHEET_PEOPLE) == 0:
            x = (margin + (column + len(SHEET_PEOPLE) / 2) * wide / columns) / (wide + margin)
            prompt = PROMPTS[SHEET_PROMPTS[column // len(SHEET_PEOPLE)]]
            figure.text(x, 1 - 0.16 / (high + head), f"“{prompt}”", ha="center", va="center", color=INK)
    figure.savefig(path, dpi=100, facecolor="white", metadata={"Software": None})
    plt.close(figure)


def _sizes(labels: Mapping[str, str]) -> list[int]:
    names = list(labels.values())
    return [names.count(name) for name in set(names)]


def _listed(items: Sequence[Any]) -> str:
    words = [str(item) for item in items]
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
