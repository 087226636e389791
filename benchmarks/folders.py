"""Twelve folders, twelve LoRA: `coterie train` against one PEFT training after another.

    python benchmarks/folders.py PICTURES.parquet [--column artist] [--folders 12] [--each 24] [--steps 100]

The largest values of a column are written out as folders of PNG and caption (a value with many pictures fills several).
Both train doodle's attention and convolutions at rank 8 in float32 or bfloat16 as this machine does best, with the same
steps, rate, pictures held out and noise levels. ``coterie`` is the whole command with its pictures and report, once
with one process and once with workers; ``peft`` is one process that loads the model once, with the plain attention that
Coterie uses, and only trains and measures. Seconds of everything after the imports, by the clock and of the processor,
and of the clock without drawing and the report (``rounds``); the peak of resident memory of the largest process, and
the mean share of held-out loss removed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

RANK, BATCH, RATE, HELD_OUT, LEVELS = 8, 4, 1e-3, 0.25, 8
ARMS = ("coterie, one process", "coterie, workers", "peft")


def folders(parquet: Path, column: str, count: int, each: int, out: Path) -> list[Path]:
    """``count`` folders of ``each`` pictures with captions, from the commonest values of a column."""
    import collections

    import pyarrow.parquet as pq

    rows = pq.read_table(parquet).to_pylist()
    common = [value for value, n in collections.Counter(row[column] for row in rows).most_common() if n >= each]
    taken: collections.Counter[str] = collections.Counter()
    made: list[Path] = []
    while len(made) < count:
        for value in common:
            some = [row for row in rows if row[column] == value][taken[value] * each : (taken[value] + 1) * each]
            if len(some) < each or len(made) == count:
                continue
            taken[value] += 1
            home = out / f"{value}-{taken[value]}"
            home.mkdir(parents=True)
            for i, row in enumerate(some):
                (home / f"{i:03d}.png").write_bytes(row["image"]["bytes"])
                (home / f"{i:03d}.txt").write_text(row["caption"])
            made.append(home)
    return sorted(made)


def recipe_of(homes: list[Path], steps: int, workers: int):
    from coterie.runs.train import training_recipe

    return training_recipe(
        homes, "doodle", steps, RANK, BATCH, (), HELD_OUT,
        [f"engine.workers={workers}", "pictures.every=1000", f"evaluation.levels={LEVELS}", f"form.fit.rate={RATE}"],
    )  # fmt: skip


def by_coterie(homes: list[Path], steps: int, workers: int) -> tuple[dict[str, float], float]:
    from coterie.report import make_report
    from coterie.runs.run import start

    began, finishing = time.perf_counter(), 0.0

    def tell(event: str, **_: object) -> None:
        nonlocal finishing
        if event == "finishing":
            finishing = time.perf_counter()

    with tempfile.TemporaryDirectory() as place:
        results = start(recipe_of(homes, steps, workers), Path(place) / "run", tell)
        make_report(Path(place) / "run")
    base = {s["client"]: s["loss"] for s in results["history"] if s["adapter"] == "base" and s["test"] == "own"}
    after = {s["client"]: s["loss"] for s in results["final"] if s["adapter"] == "personal" and s["test"] == "own"}
    return {client: 1 - after[client] / base[client] for client in base}, finishing - began


def by_peft(homes: list[Path], steps: int) -> dict[str, float]:
    import torch
    from peft import LoraConfig, get_peft_model

    from coterie.bank.memory import Plan
    from coterie.core.seeds import seed_for
    from coterie.runs.build import load_backbone
    from coterie.runs.people import population_of
    from coterie.runs.resolve import resolve

    torch.set_num_threads(1)
    recipe, _ = resolve(recipe_of(homes, steps, 0), len(homes), lambda *_: Plan(1, 0))
    model = load_backbone(recipe)
    names = [part.name for part in model.layout(RANK, float(RANK), "all").parts]
    people = population_of(recipe, model.side)
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=names)
    wrapped = get_peft_model(model.network, config, autocast_adapter_dtype=False).to(model.dtype).eval()
    parameters = [p for p in wrapped.parameters() if p.requires_grad]
    fresh = [p.detach().clone() for p in parameters]
    removed = {}
    for client, own in people.clients.items():
        rows = model.prepare(own.train.pixels, own.train.captions)
        seed = seed_for(recipe.seed, 0, "", "held-out")
        test = model.fixed(model.prepare(own.held_out.pixels, own.held_out.captions), LEVELS, seed)
        with torch.no_grad():
            for parameter, value in zip(parameters, fresh, strict=True):
                parameter.copy_(value)
            base = float(model.losses(test).mean())
        # a float32 master, as the bank keeps one
        masters = [p.detach().float().requires_grad_(True) for p in parameters]
        optimiser = torch.optim.AdamW(masters, lr=RATE, weight_decay=0.0, fused=True)
        generator = torch.Generator().manual_seed(seed_for(recipe.seed, 1, client, "fit"))
        for _ in range(steps):
            model.losses(model.draw(rows, BATCH, 0.1, generator)).mean().backward()
            for master, parameter in zip(masters, parameters, strict=True):
                master.grad, parameter.grad = parameter.grad.float(), None
            torch.nn.utils.clip_grad_norm_(masters, 1.0)
            optimiser.step()
            with torch.no_grad():
                torch._foreach_copy_(parameters, masters)
        with torch.no_grad():
            removed[client] = 1 - float(model.losses(test).mean()) / base
    return removed


def play(arm: str, homes: list[Path], steps: int) -> dict[str, object]:
    began = time.perf_counter()
    if arm == "peft":
        removed = by_peft(homes, steps)
        rounds = time.perf_counter() - began
    else:
        removed, rounds = by_coterie(homes, steps, 0 if "one" in arm else -1)
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(u.ru_utime + u.ru_stime for u in used)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"arm": arm, "seconds": seconds, "rounds": rounds, "cpu_seconds": cpu, "peak_kib": peak, "removed": removed}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parquet", type=Path)
    parser.add_argument("--column", default="artist")
    parser.add_argument("--folders", type=int, default=12)
    parser.add_argument("--each", type=int, default=24)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(play(options.arm, sorted(options.parquet.iterdir()), options.steps)))
        return
    found = []
    with tempfile.TemporaryDirectory() as place:
        folders(options.parquet, options.column, options.folders, options.each, Path(place))
        for arm in ARMS:
            own = [sys.executable, __file__, place, "--arm", arm, "--steps", str(options.steps)]
            made = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(made.stdout.splitlines()[-1]))
            row = found[-1]
            mean = sum(row["removed"].values()) / len(row["removed"])
            print(
                f"{arm:<22} {row['seconds']:7.1f} s  rounds {row['rounds']:7.1f} s  "
                f"processor {row['cpu_seconds']:7.1f} s  "
                f"{row['peak_kib'] / 1024:6.0f} MiB  removed {mean:.3f}",
                flush=True,
            )
    print(json.dumps({"benchmark": "folders", "steps": options.steps, "rows": found}))


if __name__ == "__main__":
    main()
