"""The pages of ``coterie audit prompts``: numbers as JSON, a plot, and a page with what an attacker reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coterie.engines.disk import write_bytes
from coterie.evals.wishes import KINDS
from coterie.runs.prompts_letter import letter
from coterie.runs.prompts_plot import plot

KEPT = 0.9  # of the plain mode's agreement: groups are called kept
COLUMNS = {
    "states": "token states: words read", "near": "nearest words", "decoded": "decoder", "twenty": "in 20 guesses",
    **{kind: f"groups, {kind}" for kind in KINDS},
}  # fmt: skip

HEAD = """# What encoded wishes give away

Made by `coterie audit prompts` of the recipe `{recipe}`: {wishes} wishes of {people} people, up to three wordings each.
A mode is what the keys of `form.wish` say.

The attacker runs the server. It has the encoder, the projection (it follows from the run's seed) but not the noise, and
a dictionary of {dictionary:,} English words. It trained on {training:,} sentences of random words, of which none is in
any wish: whatever it reads it was never shown. There are {content_words} content words to find: whole words of the
encoder's vocabulary of four letters or more, no function words.

- **Token states**: one vector for each piece of a text, which is what drawing on a server would have to send; Coterie
  draws where the prompt is and sends none. Ridge regression to the encoder's public table of pieces, then the nearest
  one; a word counts if it was read at its own place.
- **Nearest words**: of the one vector of a wish, the nearest words of the dictionary, as many as there are to find.
- **Decoder**: a linear decoder from that vector to a bag of words, with as many guesses.
- **In 20 guesses**: the better of these two when it may name twenty words.
- **Groups**: agreement of the groups found with the true ones (adjusted Rand index, 1 is perfect, 0 is chance), for
  wishes that name a look, paraphrase it, or only say a purpose. Grouped as the recipe says, if it reads
  wishes alone, else by the form's default.

Modes are applied in the order project, noise, rounding. Somebody who caught nothing and guesses twenty words finds
{blind:.3f} of them. {draws}

"""
SEVERAL = "Of modes with a random projection or noise the mean of {seeds} draws, and the range in brackets."
ONCE = (
    "Modes with a random projection or noise were drawn once: how much\nanother draw would differ is not known, so "
    "small differences between their rows mean nothing."
)

NOT = """## What a reader may not conclude

- That a mode with a small number hides a wish. These are simple attacks, trained in a minute; what they read is the
  least that can be read. Published attacks with large trained decoders turn encodings of short texts back into most of
  their words ([Morris et al., 2023](https://arxiv.org/abs/2310.06816)).
- That words which were not named are unknown: a decoder that says "luminous" for "glowing" counts as wrong here, and
  the group that somebody is in says what look they want.
- Anything about other people, longer texts or other languages. The wishes were written for this purpose.
- That noise adds up to a guarantee. No privacy budget is counted. In a simulation noise follows from the recipe's seed,
  and who has that can take it away; here the attacker was not given it.
- Anything about pictures or adapters, which travel too.
"""


def write_pages(found: Mapping[str, Any], folder: Path) -> Path:
    """Writes ``prompts.json``, a plot where groups are known, a letter, and ``prompts.md``, which is returned."""
    write_bytes(folder / "prompts.json", (json.dumps(found, indent=1) + "\n").encode())
    write_bytes(folder / "prompts-read.svg", letter(found["shown"]).encode())
    drawing = plot(found["modes"])
    if drawing:
        write_bytes(folder / "prompts.svg", drawing.encode())
    write_bytes(folder / "prompts.md", page(found, bool(drawing)).encode())
    return folder / "prompts.md"


def page(found: Mapping[str, Any], with_plot: bool = True) -> str:
    """All of it in Markdown."""
    draws = (SEVERAL if found["seeds"] > 1 else ONCE).format(**found)
    text = HEAD.format(**{**found, "draws": draws, "blind": found["blind"]["twenty"]}) + _table(found["modes"])
    if found["own"] != "plain":
        text += f"\nThe mode of this recipe is `{found['own']}`.\n"
    if with_plot:
        text += (
            "\n![Words read in twenty guesses against agreement of groups, a point for every mode](prompts.svg)\n\n"
            "Up is better for grouping, left is better for who wished.\n"
        )
    text += "\n## What an attacker reads\n"
    text += (
        "\n![The first wish, words that were read in every mode, bars over the others](prompts-read.svg)\n\n"
        "Of the first wish, word by word; bars cover what was not read. Token states stay at home; the one vector is "
        "what travels.\n\nOf the first wishes that there are. **Bold** words are right.\n"
    )
    for i, first in enumerate(next(iter(found["shown"].values()))):
        text += f"\n> {first['wish']}\n\n| mode | from token states | from the one vector |\n|---|---|---|\n"
        for mode, read in found["shown"].items():
            words = ", ".join(f"**{word}**" if word in read[i]["found"] else word for word in read[i]["words"])
            text += f"| {mode} | {_cell(read[i]['states'])} | {words} |\n"
    return text + _may(found["modes"], found["seeds"]) + NOT


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = f"| mode | bytes of a wish | {' | '.join(COLUMNS.values())} |\n|---|{'---:|' * (len(COLUMNS) + 1)}\n"
    for row in rows:
        text += f"| {row['mode']} | {row['bytes']} | {' | '.join(_number(row[key]) for key in COLUMNS)} |\n"
    return text


def _number(value: Mapping[str, float] | None) -> str:
    if value is None:
        return "not known"
    text = f"{value['mean']:.2f}"
    return text if value["most"] - value["least"] < 0.005 else f"{text} ({value['least']:.2f} to {value['most']:.2f})"


def _may(rows: Sequence[Mapping[str, Any]], seeds: int) -> str:
    """Only what the numbers say."""
    plain, *others = rows
    text = "\n## What a reader may conclude\n\n"
    text += "Of one draw of every projection and noise; another may rank the modes otherwise.\n\n" if seeds == 1 else ""
    text += (
        f"- An encoded wish is not a hidden wish: sent plain, {plain['twenty']['mean']:.0%} of its content words are "
        f"among twenty guesses of a simple attack. Of token states {plain['states']['mean']:.0%} are read at their "
        "places.\n"
    )
    same = [row["mode"] for row in others if plain["twenty"]["mean"] - row["twenty"]["mean"] < 0.03]
    if same:
        text += f"- These modes take next to nothing from the attacker (less than 0.03): {', '.join(same)}.\n"
    if plain["named"] is None:
        return (
            text + "- Nothing about groups: the true ones are not known, or not everybody has every kind of wish.\n\n"
        )
    kept = [row for row in others if row["named"]["mean"] >= KEPT * plain["named"]["mean"]]
    if kept:
        best = min(kept, key=lambda row: row["twenty"]["mean"])
        text += (
            f"- Of the modes tried that keep the groups of named wishes (at least {KEPT:.0%} of plain's agreement), "
            f"{best['mode']} gives away least: {best['twenty']['mean']:.0%} in twenty guesses and "
            f"{best['states']['mean']:.0%} of token states, agreement {best['named']['mean']:.2f}.\n"
        )
    else:
        text += f"- No mode tried keeps the groups of named wishes (at least {KEPT:.0%} of plain's agreement).\n"
    hidden = [row for row in others if row["twenty"]["mean"] <= 0.25 * plain["twenty"]["mean"]]
    if hidden:
        best = max(hidden, key=lambda row: row["named"]["mean"])
        text += (
            f"- Of the modes that leave these attacks a quarter of what plain gives them, or less, {best['mode']} "
            f"keeps most of the groups: agreement {best['named']['mean']:.2f} against {plain['named']['mean']:.2f}. "
        )
        text += (
            "Hiding words was paid for with groups.\n" if best not in kept else "Words were hidden and groups kept.\n"
        )
    return text + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")
