"""How well the embedded backbone draws what it is told, on subjects that it never saw.

    python tools/measure_doodle.py --drawings noto.parquet --drawings twemoji.parquet --drawings emojione2.parquet \\
        --out src/coterie/models/assets/doodle

The package's judge of subject group learned from real pictures, none of them of a subject that pretraining held out.
Its accuracy on real pictures of those subjects is one number; how often it agrees on pictures that the model drew from
their names is the other. Writes both, and a grid of 64 drawings.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.evals.classifier import load_judge
from coterie.models.backbones.doodle import Doodle
from coterie.models.png import png_bytes, sheet
from coterie.pretraining.check import GRID_CAPTIONS
from coterie.pretraining.scenes import draw_alone
from coterie.pretraining.sprites import is_held_out, read_sprites

MORE_CAPTIONS = (
    "fox", "frog", "snail", "turtle", "elephant", "butterfly", "cactus", "pineapple",
    "pizza", "ice cream", "cup of tea", "lemon", "carrot", "bread", "cheese", "grapes",
    "bus", "tractor", "sailboat", "castle", "mountain", "volcano", "sun", "crescent moon",
    "trophy", "drum", "scissors", "lamp", "book", "crown", "t-shirt", "ghost",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--generated", type=int, default=500)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--guidance", type=float, default=3.0)
    options = parser.parse_args()
    torch.set_num_threads(torch.get_num_threads())
    options.out.mkdir(parents=True, exist_ok=True)
    sprites = read_sprites(options.drawings)
    rng = np.random.default_rng(0)

    still = np.random.default_rng(1)
    chosen = [s for s in sprites if is_held_out(s.codepoint)]
    test = np.stack([draw_alone(s, still)[0] for s in chosen])
    truth, names = [s.group for s in chosen], [s.name for s in chosen]
    judge = load_judge("subject")
    on_real = judge.accuracy(test, truth)
    backbone = Doodle(torch.bfloat16)
    bank = Bank(backbone, backbone.layout(1, 1, "attention"), 1)
    subjects = sorted({(name, group) for name, group in zip(names, truth, strict=True)})
    wanted = [subjects[i] for i in rng.integers(len(subjects), size=options.generated)]
    requests = [Request(n, (), i, options.steps, options.guidance) for i, (n, _) in enumerate(wanted)]
    drawn = sample(bank, requests)
    asked = [group for _, group in wanted]
    on_drawn = judge.accuracy(drawn, asked)
    said = judge.names(drawn)
    by_group = {
        group: round(float(np.mean([s == g for s, g in zip(said, asked, strict=True) if g == group])), 4)
        for group in sorted(set(asked))
    }
    captions = (*GRID_CAPTIONS, *MORE_CAPTIONS)
    pictures = sample(bank, [Request(c, (), 7 + i, options.steps, options.guidance) for i, c in enumerate(captions)])
    rows = [list(pictures[i : i + 8]) for i in range(0, 64, 8)]
    (options.out / "grid.png").write_bytes(png_bytes(sheet(rows, 3)))
    found = {
        "judge_on_real_held_out": round(on_real, 4), "judge_on_drawn": round(on_drawn, 4),
        "ratio": round(on_drawn / on_real, 4), "real_pictures": len(test), "drawn_pictures": len(drawn),
        "subjects": len(subjects), "most_common_group": round(max(truth.count(g) for g in truth) / len(truth), 4),
        "on_drawn_by_group": by_group,
        "steps": options.steps, "guidance": options.guidance, "backbone": backbone.digest,
    }  # fmt: skip
    (options.out / "agreement.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
