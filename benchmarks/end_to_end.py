"""A whole federated job: 100 clients, 10 a round, doodle, LoRA of rank 8; Coterie and what one would write instead.

    python benchmarks/end_to_end.py [--rounds 4] [--dtype fp32|bf16] [--flower PYTHON]

- ``coterie``: ``fedavg`` in one process, everything on: bytes packed, coded and counted, a journal, a checkpoint for
  each round.
- ``peft+``: an honest loop in one process: one resident PEFT model, the round's adapter copied in, AdamW and clipping
  for each client, factors averaged, the result saved each round; the plain attention that Coterie uses.
- ``peft``: the same with attention as shipped.
- ``flower``, ``flower, cached``: ``end_to_end_flower.py``, with the interpreter of an environment that has Flower.

Each in a process of its own with one thread, on the same pictures (noise, 8 a client; what they show does not matter
here). Seconds of the rounds, drawings and evaluation left out of all: of the processor where one process does it all,
and of the clock; the peak of resident memory of the process. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

CLIENTS, COHORT, PICTURES, STEPS, BATCH, RANK = 100, 10, 8, 16, 8, 8
ARMS = ("coterie", "peft+", "peft")
FLOWER = ("flower", "flower, cached")


def pictures(folder: Path) -> Path:
    """Eight pictures of noise with captions for each client."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for client in range(CLIENTS):
        home = folder / f"c{client:03d}"
        home.mkdir(parents=True)
        for i in range(PICTURES):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(home / f"{i}.png")
            (home / f"{i}.txt").write_text(f"picture {i} of {client}")
    return folder


class Watch:
    """Seconds of the clock and of this process, a round at a time."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def begin(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def end(self) -> None:
        self.wall.append(time.perf_counter() - self.began[0])
        self.cpu.append(time.process_time() - self.began[1])


def through_coterie(data: Path, rounds: int, dtype: str, watch: Watch) -> None:
    from coterie.runs.reading import make_recipe
    from coterie.runs.run import start

    fit = {"steps": STEPS, "batch": BATCH}
    recipe = make_recipe(
        {
            "name": "end-to-end", "rounds": rounds, "form": {"name": "fedavg", "fit": fit},
            "cohort": {"share": COHORT / CLIENTS}, "engine": {"workers": 0, "dtype": dtype},
            "data": {"source": {"name": "image_folder", "path": str(data)}, "column": "client", "held_out": 0.0},
            "method": {"name": "lora", "rank": RANK, "alpha": RANK},
            "pictures": {"steps": 1, "every": 10**6, "hybrids": False, "prompts": ["a"]},
            "evaluation": {"copies": 0},
        },
        "benchmark",
    )  # fmt: skip

    def tell(event: str, **fields: object) -> None:
        if event == "round_started" and fields["round"]:
            watch.begin()
        if event == "round_done" and fields["round"]:
            watch.end()

    with tempfile.TemporaryDirectory() as place:
        start(recipe, Path(place) / "run", tell)


def through_peft(data: Path, rounds: int, dtype: str, plain: bool, watch: Watch) -> None:
    import numpy as np
    import torch
    from diffusers.models.attention_processor import AttnProcessor2_0
    from peft import LoraConfig, get_peft_model
    from PIL import Image
    from safetensors.torch import save_file

    from coterie.models.backbones.doodle import Doodle

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    torch.set_num_threads(1)
    model = Doodle(kind)
    names = [part.name for part in model.layout(RANK, float(RANK), "all").parts]
    if not plain:
        model.network.set_attn_processor(AttnProcessor2_0())
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=names)
    model.network = get_peft_model(model.network, config, autocast_adapter_dtype=False).to(kind).eval()
    parameters = [p for p in model.network.parameters() if p.requires_grad]
    people = []
    for home in sorted(data.iterdir()):
        files = sorted(home.glob("*.png"))
        pixels = np.stack([np.asarray(Image.open(file)) for file in files])
        people.append(model.prepare(pixels, [file.with_suffix(".txt").read_text() for file in files]))
    served = [p.detach().clone().float() for p in parameters]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        for round_number in range(rounds):
            watch.begin()
            total = [torch.zeros_like(p, dtype=torch.float64) for p in served]
            for client in rng.choice(CLIENTS, COHORT, replace=False):
                with torch.no_grad():
                    torch._foreach_copy_(parameters, served)
                optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.0, fused=True)
                generator = torch.Generator().manual_seed(int(client))
                for _ in range(STEPS):
                    rows = model.draw(people[client], BATCH, 0.1, generator)
                    model.losses(rows).mean().backward()
                    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                    optimiser.step()
                    optimiser.zero_grad()
                for sum_, parameter in zip(total, parameters, strict=True):
                    sum_ += parameter.detach().double() / COHORT
            served = [t.float() for t in total]
            save_file({str(i): t for i, t in enumerate(served)}, Path(place) / f"{round_number}.safetensors")
            watch.end()


def play(arm: str, data: Path, rounds: int, dtype: str) -> dict[str, Any]:
    watch = Watch()
    if arm == "coterie":
        through_coterie(data, rounds, dtype, watch)
    else:
        through_peft(data, rounds, dtype, arm == "peft+", watch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"arm": arm, "dtype": dtype, "seconds": watch.wall, "cpu_seconds": watch.cpu, "peak_kib": peak}


def through_flower(python: str, arm: str, data: Path, rounds: int, dtype: str) -> dict[str, Any]:
    own = [python, str(Path(__file__).with_name("end_to_end_flower.py")), "--data", str(data), "--dtype", dtype]
    more = ["--rounds", str(rounds), *(["--cached"] if "cached" in arm else [])]
    made = subprocess.run([*own, *more], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return {"arm": arm, "dtype": dtype, **json.loads(made.stdout.splitlines()[-1])}


def through_itself(arm: str, data: Path, rounds: int, dtype: str) -> dict[str, Any]:
    own = [sys.executable, __file__, "--arm", arm, "--data", str(data), "--dtype", dtype, "--rounds", str(rounds)]
    made = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(made.stdout.splitlines()[-1]))


def line(row: dict[str, Any], first: dict[str, Any]) -> str:
    """A row in words, with its ratio to Coterie's."""
    parts = [f"{row['dtype']}  {row['arm']:<15}"]
    for key, what in (("seconds", "s a round"), ("cpu_seconds", "s of processor time")):
        if key in row:
            middle = statistics.median(row[key])
            parts.append(f"{middle:7.2f} {what} ({middle / statistics.median(first[key]):4.2f} x)")
    return "   ".join([*parts, *([f"{row['peak_kib'] / 1024:6.0f} MiB"] if "peak_kib" in row else [])])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], action="append")
    parser.add_argument("--flower", metavar="PYTHON", help="interpreter of an environment with Flower and Coterie")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    dtypes = options.dtype or ["fp32", "bf16"]
    if options.arm:
        print(json.dumps(play(options.arm, options.data, options.rounds, dtypes[0])))
        return
    found = []
    with tempfile.TemporaryDirectory() as place:
        data = pictures(Path(place) / "people")
        for dtype in dtypes:
            for arm in (*ARMS, *(FLOWER if options.flower else ())):
                if arm in FLOWER:
                    row = through_flower(options.flower, arm, data, options.rounds, dtype)
                else:
                    row = through_itself(arm, data, options.rounds, dtype)
                found.append(row)
                print(line(row, next(r for r in found if r["dtype"] == dtype)), flush=True)
    print(json.dumps({"benchmark": "end_to_end", "clients": CLIENTS, "cohort": COHORT, "rows": found}))


if __name__ == "__main__":
    main()
