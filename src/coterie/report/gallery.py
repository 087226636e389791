"""Pictures for the page: before and after for every person, mixes of clusters, and progress from round to round."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Any

from coterie.report.measures import Measures
from coterie.report.read import Arm
from coterie.report.sprites import Atlas
from coterie.report.words import form_name

OWN = 4
MIXED = 3  # prompts of a hybrid, so that a grid fits a phone
MOST_ROUNDS = 8


def people(
    own: Measures,
    control: Measures | None,
    clusters: Mapping[str, int],
    atlas: Atlas,
    some: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """A card for each person who is there at the end, or for ``some`` of them, by cluster and name: their own pictures,
    and the prompts as columns of pictures.
    """
    arm = own.arm
    base = atlas.add_all(arm.server_pictures("base"))
    cards = []
    there = [c for c, client in arm.clients.items() if client.left is None and (some is None or c in some)]
    for name in sorted(there, key=lambda c: (clusters.get(arm.clusters.get(c, ""), 0), c)):
        before = atlas.add_all(arm.site_pictures(name, "before")) or base
        rows = [("before", "before", "the model as it was", before)]
        after = atlas.add_all(arm.kept_pictures(name))
        keeps = f"what {name} keeps" if arm.personal else f"what {name} was served"
        rows.append(("after", "after", "with its adapter" if arm.alone else keeps, after))
        if control is not None:
            other = atlas.add_all(control.arm.kept_pictures(name))
            rows.append(("control", "control", form_name(control.arm.form).lower(), other))
        rows = [row for row in rows if row[3]] if after else []  # else there is nothing to compare
        columns = max((len(row[3]) for row in rows), default=0)
        known = arm.captions(name)
        captions = [*known, *(f"picture {i + 1}" for i in range(len(known), columns))][:columns]
        cards.append(
            {
                "name": name, "client": arm.clients[name], "cluster": arm.clusters.get(name),
                "mark": clusters.get(arm.clusters.get(name, ""), 0),
                "own": atlas.add_all(arm.site_pictures(name, "own")[:OWN]),
                "rows": [{"kind": kind, "label": label, "note": note} for kind, label, note, _ in rows],
                "columns": [
                    {
                        "caption": caption,
                        "tiles": [(kind, tiles[i] if i < len(tiles) else None) for kind, _, _, tiles in rows],
                    }
                    for i, caption in enumerate(captions)
                ],
                "removed": {test: own.removed(name, test) for test in ("own", "style")},
                "control": {test: control.removed(name, test) for test in ("own", "style")} if control else None,
            }
        )  # fmt: skip
    return cards


def lineup(cards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The first prompt once by the bare model and once by each person, for the top of the page.

    Where their first prompts are not the same, ``prompt`` is empty and there is no picture before.
    """
    drawn = [c for c in cards if c["columns"]]
    if not drawn:
        return None
    first = [(card, dict(card["columns"][0]["tiles"])) for card in drawn]
    after = [
        (card["name"], card["mark"], tiles["after"], card["columns"][0]["caption"])
        for card, tiles in first
        if tiles.get("after") is not None
    ]
    if len(after) > 1 and len({(tile, caption) for *_, tile, caption in after}) == 1:  # one adapter for all
        after = [("all", *after[0][1:])]
    same = len({caption for *_, caption in after}) == 1
    prompt, before = (after[0][3], first[0][1].get("before")) if same else ("", None)
    return {"prompt": prompt, "before": before, "after": after} if after else None


def hybrids(arm: Arm, clusters: Mapping[str, int], atlas: Atlas) -> list[dict[str, Any]]:
    """For each pair of clusters that was mixed: prompts across, weights of the first from 100 to 0 down."""
    grids = []
    for one, other in combinations(clusters, 2):
        middle = [(w, arm.server_pictures(f"hybrid/{one}+{other}/{w}")) for w in (75, 50, 25)]
        count = min(MIXED, max((len(pictures) for _, pictures in middle), default=0))
        if not count:
            continue
        ends = [(100, arm.server_pictures(one)), *middle, (0, arm.server_pictures(other))]
        rows = [{"weight": weight, "tiles": atlas.add_all(pictures[:count])} for weight, pictures in ends if pictures]
        grids.append({"one": (one, clusters[one]), "other": (other, clusters[other]), "rows": rows,
                      "prompts": arm.prompts[:count]})  # fmt: skip
    return grids


def progress(arm: Arm, clusters: Mapping[str, int], atlas: Atlas) -> dict[str, Any] | None:
    """The first prompt after each round, a row for each published adapter; many rounds are thinned to a few."""
    folder = arm.path / "server" / "pictures" / "rounds"
    rounds = (
        sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)) if folder.is_dir() else []
    )
    if len(rounds) > MOST_ROUNDS:
        rounds = [rounds[round(i * (len(rounds) - 1) / (MOST_ROUNDS - 1))] for i in range(MOST_ROUNDS)]
    if not rounds:
        return None
    names = sorted({p.name for path in rounds for p in path.iterdir() if p.is_dir()})
    base = arm.server_pictures("base")[:1]
    rows = []
    for name in names:
        found = [arm.server_pictures(f"rounds/{path.name}/{name}")[:1] for path in rounds]
        tiles = [atlas.add(p[0]) if p else None for p in ([base] if base else []) + found]
        rows.append({"name": name, "mark": clusters.get(name, 0), "tiles": tiles})
    heads = (["before"] if base else []) + [f"round {int(path.name)}" for path in rounds]
    return {"heads": heads, "rows": rows, "prompt": (arm.prompts or ["first prompt"])[0]}
