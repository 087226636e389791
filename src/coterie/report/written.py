"""Texts for the page: before and after for every person, mixes of clusters, progress, and perplexities."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import combinations
from statistics import fmean
from typing import Any

from coterie.evals.perplexity import bits_by_character, by_word
from coterie.report.crowd import Crowd, only
from coterie.report.measures import Measures
from coterie.report.read import Arm
from coterie.report.sprites import Atlas
from coterie.report.words import number, round3

MOST_ROUNDS = 8


def people(
    own: Measures,
    control: Measures | None,
    clusters: Mapping[str, int],
    _: Atlas,
    some: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """A card for each person who is there at the end, or for ``some`` of them, by cluster and name: their own words,
    and each beginning with how it goes on before, after and in the control.
    """
    arm, cards = own.arm, []
    there = [c for c, client in arm.clients.items() if client.left is None and (some is None or c in some)]
    for name in sorted(there, key=lambda c: (clusters.get(arm.clusters.get(c, ""), 0), c)):
        rows = [
            ("before", "before", arm.site_texts(name, "before") or arm.server_texts("base")),
            ("after", "after", arm.kept_texts(name)),
            ("control", "control", control.arm.kept_texts(name) if control is not None else []),
        ]
        prompts = [prompt for prompt, _ in rows[1][2]]
        known = {kind: dict(enumerate(texts)) for kind, _, texts in rows}
        cards.append(
            {
                "name": name, "client": arm.clients[name], "cluster": arm.clusters.get(name),
                "mark": clusters.get(arm.clusters.get(name, ""), 0),
                "own": [text for _, text in arm.site_texts(name, "own")],
                "passages": [
                    {
                        "prompt": prompt,
                        "texts": [
                            (kind, label, known[kind][i][1])
                            for kind, label, _ in rows
                            if i in known[kind] and known[kind][i][0] == prompt
                        ],
                    }
                    for i, prompt in enumerate(prompts)
                ],
                "removed": {test: own.removed(name, test) for test in ("own", "style")},
                "control": {test: control.removed(name, test) for test in ("own", "style")} if control else None,
                "perplexity": _perplexity(own, name),
            }
        )  # fmt: skip
    return cards


def lineup(cards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The first beginning once by the bare model and once by each person, for the top of the page.

    Where their first beginnings are not the same, ``prompt`` is empty and there is no text before.
    """
    first = [
        (card, {kind: text for kind, _, text in card["passages"][0]["texts"]}) for card in cards if card["passages"]
    ]
    after = [
        (card["name"], card["mark"], card["passages"][0]["prompt"], texts["after"])
        for card, texts in first
        if "after" in texts
    ]
    if not after:
        return None
    if len(after) > 1 and len({told for *_, told in after}) == 1:  # one adapter for all
        after = [("all", *after[0][1:])]
    same = len({prompt for _, _, prompt, _ in after}) == 1
    prompt, before = (after[0][2], first[0][1].get("before")) if same else ("", None)
    return {"prompt": prompt, "before": before, "after": after}


def hybrids(arm: Arm, clusters: Mapping[str, int], _: Atlas) -> list[dict[str, Any]]:
    """For each pair of clusters that was mixed: the first beginning, weights of the first from 100 to 0 down."""
    grids = []
    for one, other in combinations(clusters, 2):
        middle = [(w, arm.server_texts(f"hybrid/{one}+{other}/{w}")) for w in (75, 50, 25)]
        if not any(texts for _, texts in middle):
            continue
        ends = [(100, arm.server_texts(one)), *middle, (0, arm.server_texts(other))]
        rows = [{"weight": weight, "text": texts[0][1]} for weight, texts in ends if texts]
        grids.append({"one": (one, clusters[one]), "other": (other, clusters[other]), "rows": rows,
                      "prompt": next(texts[0][0] for _, texts in middle if texts)})  # fmt: skip
    return grids


def progress(arm: Arm, clusters: Mapping[str, int], _: Atlas) -> dict[str, Any] | None:
    """The first beginning after each round, for each published adapter; many rounds are thinned to a few."""
    folder = arm.path / "server" / "texts" / "rounds"
    rounds = sorted(p.name for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []
    if len(rounds) > MOST_ROUNDS:
        rounds = [rounds[round(i * (len(rounds) - 1) / (MOST_ROUNDS - 1))] for i in range(MOST_ROUNDS)]
    names = sorted({path.stem for name in rounds for path in (folder / name).glob("*.json")})
    if not names:
        return None
    found = {name: {number: arm.server_texts(f"rounds/{number}/{name}")[:1] for number in rounds} for name in names}
    rows = [
        {
            "name": name, "mark": clusters.get(name, 0),
            "texts": [(f"round {int(number)}", text) for number, texts in by_round.items() for _, text in texts],
        }
        for name, by_round in found.items()
    ]  # fmt: skip
    prompt = next((prompt for by_round in found.values() for texts in by_round.values() for prompt, _ in texts), "")
    return {"prompt": prompt, "rows": [row for row in rows if row["texts"]]}


def table(own: Measures, control: Measures | None, some: Crowd | None) -> dict[str, Any] | None:
    """Perplexity by word and bits by character of everybody's own held-out documents; None without scores."""
    rows = []
    for name in own.arm.clients:
        if found := _perplexity(own, name):
            theirs = _perplexity(control, name) if control is not None else None
            more = {"control": theirs["kept"], "bits_control": theirs["bits_kept"]} if theirs else {}
            rows.append({"name": name, **found, "control": None, "bits_control": None, **more})
    if not rows:
        return None
    context = int(own.arm.results.get("context") or 0)
    return {
        "rows": only(rows, some),
        "control": any(row["control"] is not None for row in rows),
        "context": context or "so many",
    }


def key(own: Measures) -> list[dict[str, str]]:
    """The card at the top: the mean over people, of nats."""
    rows = [found for name in own.arm.clients if (found := _perplexity(own, name))]
    if not rows:
        return []
    before, after = (math.exp(fmean(math.log(row[when]) for row in rows)) for when in ("before", "kept"))
    bits = [fmean(row[when] for row in rows) for when in ("bits_before", "bits_kept")]
    worst = max(row["kept"] for row in rows)
    note = f"before {round3(before)}; worst person {round3(worst)}. {number(bits[1], 2)} bits by character, "
    label = "perplexity by word of held-out documents, on average"
    return [{"label": label, "value": round3(after), "note": f"{note}before {number(bits[0], 2)}"}]


def _perplexity(measures: Measures, client: str) -> dict[str, float] | None:
    units = measures.arm.results.get("units", {}).get(client, {}).get("own")
    base, kept = measures.base(client, "own"), measures.final(client, "own", measures.kept(client))
    if not units or base is None or kept is None:
        return None
    return {
        "words": units["words"], "before": by_word(base.loss, units), "kept": by_word(kept.loss, units),
        "bits_before": bits_by_character(base.loss, units), "bits_kept": bits_by_character(kept.loss, units),
    }  # fmt: skip
