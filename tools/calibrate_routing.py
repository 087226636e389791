"""Chooses the floor of routing on invented people and prompts, and prints how each choice does.

As in ``calibrate_wishes.py`` populations are drawn at random: two to four looks, three to five of six people in each.
Their sentences make centroids by look. Prompts are the sentences that nobody in the population said: of a look that is
there (alone, and with a subject before it), of looks that are not there, and subjects alone. A floor is good when the
first kinds reach their look and the others reach none.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import torch

from coterie.federation.routing import centroids_of, route
from coterie.models.encoders.minilm import minilm
from coterie.models.encoders.public import public_texts, wish_vectors

DRAWS = 200
FLOORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
SUBJECTS = (
    "A hedgehog.", "Two teapots on a shelf.", "A lighthouse at the coast.", "A violin.", "Pears in a bowl.",
    "An old tram.", "A girl with an umbrella.", "Mountains behind a village.", "A steam train.", "A basket of eggs.",
    "A peacock.", "Three chairs.",
)  # fmt: skip
KINDS = ("alone", "with subject", "absent look", "subject only")


def main() -> None:
    looks = tomllib.loads((Path(__file__).parent / "calibration_wishes.toml").read_text())
    public = minilm().encode(public_texts()).pooled

    def vectors(texts: list[str]) -> torch.Tensor:
        return wish_vectors(minilm().encode(texts).pooled, public)

    alone = {look: vectors(wishes) for look, wishes in looks.items()}
    with_subject = {
        look: vectors([f"{SUBJECTS[(6 * n + i) % len(SUBJECTS)]} {wish}" for i, wish in enumerate(wishes)])
        for n, (look, wishes) in enumerate(looks.items())
    }
    subjects = vectors(list(SUBJECTS))
    rng = np.random.default_rng(0)
    found: dict[str, list[tuple[bool, float]]] = {kind: [] for kind in KINDS}  # whether the nearest is right, nearness
    for _ in range(DRAWS):
        order = rng.permutation(sorted(looks))
        chosen = order[: rng.integers(2, 5)]
        wishes, labels, left = {}, {}, []
        for look in chosen:
            people = rng.permutation(6)
            count = rng.integers(3, 6)
            for i in people[:count]:
                wishes[f"{look}/{i}"], labels[f"{look}/{i}"] = alone[look][i], str(look)
            left += [(look, i) for i in people[count:]]
        centroids = centroids_of(wishes, labels)
        for look, i in left:
            for kind, where in (("alone", alone), ("with subject", with_subject)):
                got = route(where[look][i], centroids, 0.0)
                found[kind].append((got.nearest == look, got.nearness))
        for look in order[len(chosen) :]:
            got = route(alone[look][rng.integers(6)], centroids, 0.0)
            found["absent look"].append((False, got.nearness))
        got = route(subjects[rng.integers(len(SUBJECTS))], centroids, 0.0)
        found["subject only"].append((False, got.nearness))
    print("floor  right: " + "  ".join(KINDS[:2]) + "  none: " + "  ".join(KINDS[2:]) + "  mean")
    best = (-1.0, 0.0)
    for floor in FLOORS:
        right = [np.mean([ok and q >= floor for ok, q in found[kind]]) for kind in KINDS[:2]]
        none = [np.mean([q < floor for _, q in found[kind]]) for kind in KINDS[2:]]
        mean = float(np.mean([*right, *none]))
        print(f"{floor:5.2f}  {right[0]:12.2f}  {right[1]:12.2f}  {none[0]:17.2f}  {none[1]:12.2f}  {mean:.3f}")
        best = max(best, (mean, floor))
    print(f"best: q_min = {best[1]} (mean {best[0]:.3f}; {', '.join(f'{len(found[k])} {k}' for k in KINDS)})")


if __name__ == "__main__":
    main()
