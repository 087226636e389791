"""Chooses the floors of the grouping ``wishes`` on invented people, and prints how each choice does.

Populations are drawn at random: one to four looks, three to six people in each. A floor is good when the groups found
agree with the looks (adjusted Rand index), also when there is only one look and the right answer is one group.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from coterie.core.protocols import Facts
from coterie.federation.groupings.wishes import Wishes
from coterie.models.encoders.minilm import minilm
from coterie.models.encoders.public import public_texts, wish_vectors

DRAWS = 200
FLOORS = (0.0, 0.05, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25)
LONERS = (0.8, 1.0)


def main() -> None:
    looks = tomllib.loads((Path(__file__).parent / "calibration_wishes.toml").read_text())
    public = minilm().encode(public_texts()).pooled
    vectors = {look: wish_vectors(minilm().encode(wishes).pooled, public).numpy() for look, wishes in looks.items()}
    rng = np.random.default_rng(0)
    populations = []
    for _ in range(DRAWS):
        chosen = rng.permutation(sorted(looks))[: rng.integers(1, 5)]
        people = {}
        for look in chosen:
            for i in rng.permutation(6)[: rng.integers(3, 7)]:
                people[f"{look}/{i}"] = vectors[look][i]
        populations.append(people)
    print("floor  loner  mean ARI  one look  2 looks  3 looks  4 looks  groups found - looks")
    best = (-1.0, 0.0, 0.0)
    for floor in FLOORS:
        for loner in LONERS:
            grouping = Wishes(floor=floor, loner=loner)
            scores: dict[int, list[float]] = {1: [], 2: [], 3: [], 4: []}
            excess = []
            for people in populations:
                found = grouping.group(people, {c: Facts(1) for c in people}, 0).labels
                truth = [c.split("/")[0] for c in sorted(people)]
                labels = [found[c] for c in sorted(people)]
                one = len(set(truth)) == 1
                score = float(len(set(labels)) == 1) if one else adjusted_rand_score(truth, labels)
                scores[len(set(truth))].append(score)
                excess.append(len(set(labels)) - len(set(truth)))
            mean = float(np.mean([np.mean(s) for s in scores.values()]))
            by_looks = "  ".join(f"{np.mean(scores[k]):7.2f}" for k in (1, 2, 3, 4))
            print(f"{floor:5.2f}  {loner:5.2f}  {mean:8.3f}  {by_looks}  {np.mean(excess):+.2f}")
            best = max(best, (mean, floor, loner))
    print(f"best: floor = {best[1]}, loner = {best[2]} (mean {best[0]:.3f} over {DRAWS} populations)")


if __name__ == "__main__":
    main()
