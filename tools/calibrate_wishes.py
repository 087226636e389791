"""Chooses the floors of the splits on invented people's wishes, and prints how each choice does.

Populations are drawn at random: one to four looks, three to six people in each. A floor is good when the groups found
agree with the looks (adjusted Rand index), also when there is only one look and the right answer is one group.

    python tools/calibrate_wishes.py [SPLIT ...]
"""

from __future__ import annotations

import itertools
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from coterie.core.site import Facts
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.shelves import SPLITS
from coterie.models.encoders.minilm import minilm
from coterie.models.encoders.public import public_texts, wish_vectors

DRAWS = 200
FLOORS = (0.0, 0.05, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25)
LONERS = (0.8, 1.0)

People = Mapping[str, Any]


def populations() -> list[People]:
    """People by ``look/number``, each a wish vector."""
    looks = tomllib.loads((Path(__file__).parent / "calibration_wishes.toml").read_text())
    public = minilm().encode(public_texts()).pooled
    vectors = {look: wish_vectors(minilm().encode(wishes).pooled, public).numpy() for look, wishes in looks.items()}
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        chosen = rng.permutation(sorted(looks))[: rng.integers(1, 5)]
        people = {}
        for look in chosen:
            for i in rng.permutation(6)[: rng.integers(3, 7)]:
                people[f"{look}/{i}"] = vectors[look][i]
        drawn.append(people)
    return drawn


def scored(grouping: Wishes, drawn: Sequence[People]) -> tuple[dict[int, float], float]:
    """Mean agreement by number of looks, and how many groups too many there are on average."""
    scores: dict[int, list[float]] = {1: [], 2: [], 3: [], 4: []}
    excess = []
    for people in drawn:
        found = grouping.group(people, {c: Facts(1) for c in people}, 0).labels
        truth = [c.split("/")[0] for c in sorted(people)]
        labels = [found[c] for c in sorted(people)]
        one = len(set(truth)) == 1
        score = float(len(set(labels)) == 1) if one else adjusted_rand_score(truth, labels)
        scores[len(set(truth))].append(score)
        excess.append(len(set(labels)) - len(set(truth)))
    return {looks: float(np.mean(some)) for looks, some in scores.items()}, float(np.mean(excess))


def main(names: Sequence[str]) -> None:
    drawn = populations()
    print("split           floor  loner  mean ARI  one look  2 looks  3 looks  4 looks  groups found - looks")
    for name in names or SPLITS.names():
        split: Any = SPLITS.build(name)
        loners = LONERS if "loner" in {f.name for f in fields(split)} else (None,)
        best = (-1.0, "")
        for floor, loner in itertools.product(FLOORS, loners):
            tried = replace(split, floor=floor, **({} if loner is None else {"loner": loner}))
            scores, excess = scored(Wishes(tried), drawn)
            mean = float(np.mean(list(scores.values())))
            by_looks = "  ".join(f"{scores[k]:7.2f}" for k in (1, 2, 3, 4))
            alone = "    –" if loner is None else f"{loner:5.2f}"
            print(f"{name:<14}  {floor:5.2f}  {alone}  {mean:8.3f}  {by_looks}  {excess:+.2f}", flush=True)
            best = max(best, (mean, f"floor = {floor}" + ("" if loner is None else f", loner = {loner}")))
        print(f"best {name}: {best[1]} (mean {best[0]:.3f} over {DRAWS} populations)")


if __name__ == "__main__":
    main(sys.argv[1:])
