"""What the server needs by the number of clients: memory, and processor time for each client and round.

    python benchmarks/server.py [--counts 12 120 1000] [--rounds 3] [--form fedavg] [--workers 2] [--plot FILE.svg]

The plot needs matplotlib, which `pip install --group study` brings.

Every client has four pictures of its own, made here; one optimiser step on a small network of random weights, with
adapters of rank 32 on all layers: messages are about as large as the doodle's, and training is short. Each count runs
in a process of its own. With workers (two or more; one counts as none) the numbers are of the main process alone, the
server, which holds no model; without (0), of clients and server together; with -1 of the server's loop by itself, with
clients that answer at once with the adapter they were sent: real messages, sums and files, and nothing is trained.
Proportional memory (PSS) is read ten times a second; of the loop by itself it is that at the end. Times are processor
seconds, which do not count what a busy machine does meanwhile. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import numpy as np
import torch

PICTURES = 4
SIDE = 16
WORDS = ("circle", "square", "stripe", "dot")


def population(path: Path, clients: int) -> None:
    """A parquet file: every client has a colour of its own and draws four things in it, the last held out."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    yy, xx = np.mgrid[:SIDE, :SIDE]
    shapes = (
        (yy - 8) ** 2 + (xx - 8) ** 2 < 30,
        (abs(yy - 8) < 5) & (abs(xx - 8) < 5),
        yy % 6 < 3,
        (yy % 5 < 2) & (xx % 5 < 2),
    )
    rows: dict[str, list[Any]] = {"image": [], "caption": [], "client": [], "split": [], "style": []}
    for k in range(clients):
        colour = np.random.default_rng(k).integers(0, 256, 3)
        for word, shape in zip(WORDS, shapes, strict=True):
            pixels = np.where(shape[..., None], colour, 255 if k % 2 else 0).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "png")
            rows["image"].append({"bytes": file.getvalue(), "path": None})
            rows["caption"].append(f"a {word} on {'white' if k % 2 else 'black'}")
            rows["client"].append(f"client-{k:04d}")
            rows["split"].append("test" if word == WORDS[-1] else "train")
            rows["style"].append("white" if k % 2 else "black")
    pq.write_table(pa.table(rows), path)


def settings(options: argparse.Namespace, source: Path) -> list[str]:
    return [
        f"rounds={options.rounds}", "backbone.name=untrained", "method.targets=all", "method.rank=32",
        "method.alpha=32", "data.source.name=parquet",
        f"data.source.path={source}", "data.column=client", "form.fit.steps=1", "form.fit.batch=2",
        "evaluation.levels=4", "evaluation.copies=0", "pictures.people=false", "pictures.hybrids=false",
        "pictures.steps=1", 'pictures.prompts=["a dot"]', f"engine.workers={options.workers}", "engine.width=16",
        "engine.dtype=fp32", "control={}", f"form.name={options.form}", f"cohort.share={options.share}",
        *options.set,
    ]  # fmt: skip


def pss() -> int:
    """Bytes of this process, shared pages divided among those who share them."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


def one(options: argparse.Namespace) -> dict[str, Any]:
    """One run, in this process and its workers."""
    from coterie.runs import run as engine
    from coterie.runs.reading import read_recipe

    marks: list[tuple[str, float, int]] = []
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            seen.append(pss())

    def tell(event: str, **fields: Any) -> None:
        if event in ("started", "round_done", "finishing", "finished"):
            marks.append((event, time.process_time(), max(seen[-1], pss())))

    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "people.parquet", Path(folder) / "run"
        population(source, options.one)
        recipe = read_recipe(None, settings(options, source))
        before = pss()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        began = time.monotonic()
        engine.start(recipe, path, tell=tell)
        seconds = time.monotonic() - began
        over.set()
        watcher.join()
        server = path / "server"
        sizes = {name: (server / name).stat().st_size for name in ("results.json", "journal.jsonl")}
        checkpoint = max((server / "checkpoints").iterdir()).stat().st_size
        answered = json.loads((server / "results.json").read_text())
    done = [cpu for event, cpu, _ in marks if event == "round_done"]
    asked = options.one * options.share
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "clients": options.one, "form": options.form, "rounds": options.rounds,
        "workers": options.workers if options.workers > 1 else 0,
        "pss": max(seen), "pss_before": before, "pss_rounds": [x for event, _, x in marks if event == "round_done"],
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cpu_round": [(b - a) / asked for a, b in itertools.pairwise(done)],
        "cpu_all": time.process_time(), "cpu_workers": children.ru_utime + children.ru_stime, "seconds": seconds,
        "results": sizes["results.json"], "journal": sizes["journal.jsonl"], "checkpoint": checkpoint,
        "adapter": answered["adapter_parameters"], "failures": len(answered["failures"]),
    }  # fmt: skip


class Echo:
    """Clients that answer at once with the adapter they were sent; what they spend on that is counted apart."""

    link = "memory"

    def __init__(self, layouts: Any, codec: Any, levels: int) -> None:
        self.layouts, self.codec, self.levels, self.spent = layouts, codec, levels, 0.0

    async def visit(self, client: str, request: bytes) -> bytes:
        from coterie.core.update import Update
        from coterie.wire.envelope import pack, unpack

        began = time.process_time()
        header, value = unpack(request, self.layouts, self.codec)
        score = {"levels": torch.ones(self.levels, dtype=torch.float64), "count": 1}
        answers: dict[str, Callable[[], Any]] = {
            "client_update": lambda: Update(value, 3.0),
            "client_base": lambda: {"own": score},
            "client_served": lambda: {"own": score},
            "client_keep": lambda: {"personal": None},
            "client_kept": dict,
            "client_copies": lambda: {"pictures": 0, "copies": 0, "expected": 0.0},
        }
        reply = pack(header, answers[header.half.partition(".")[2]](), self.codec)
        self.spent += time.process_time() - began
        return reply


def alone(options: argparse.Namespace) -> dict[str, Any]:
    """The server's loop by itself: real messages both ways, nothing trained. Only for forms whose halves Echo knows."""
    from coterie.core.site import Facts
    from coterie.engines.trampoline import run as trampoline
    from coterie.runs.build import header_of, load_backbone
    from coterie.runs.folder import RunFolder
    from coterie.runs.outset import loop_of, terms_of
    from coterie.runs.reading import read_recipe

    sets = [item for item in settings(options, Path("nowhere.parquet")) if not item.startswith("pictures.prompts")]
    recipe = read_recipe(None, [*sets, f"pictures.every={options.rounds + 1}"])
    backbone = load_backbone(recipe)
    layout, header = recipe.method.layout(backbone), header_of(recipe, backbone.digest)
    del backbone
    echo = Echo((layout,), recipe.codec, recipe.evaluation.levels)
    facts = {f"client-{k:05d}": Facts(3, "white" if k % 2 else "black") for k in range(options.one)}
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))

        def tell(event: str, **fields: Any) -> None:
            run.journal(event, **fields)
            if event == "round_done":
                marks.append(time.process_time() - echo.spent)

        terms = terms_of(recipe, header.backbone, layout, echo, facts, tell)
        loop = loop_of(recipe, terms, ["own"], {}, run)
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.monotonic()
        results = trampoline(loop.play(), lambda kind, works: [np.zeros((0, 8, 8, 3), np.uint8)] * len(works))
        run.write_json("results.json", results)
        sizes = [(run.server / name).stat().st_size for name in ("results.json", "journal.jsonl")]
        checkpoint = max((run.server / "checkpoints").iterdir()).stat().st_size
    asked = options.one * options.share
    return {
        "clients": options.one, "form": options.form, "workers": -1, "rounds": options.rounds, "rss_before": before,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "pss": pss(), "adapter": layout.size,
        "cpu_round": [(b - a) / asked for a, b in itertools.pairwise(marks)], "cpu_all": time.process_time(),
        "seconds": time.monotonic() - began, "results": sizes[0], "journal": sizes[1], "checkpoint": checkpoint,
    }  # fmt: skip


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "coterie"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for key in sorted({(row["form"], row["workers"]) for row in rows}):
        same = [row for row in rows if (row["form"], row["workers"]) == key]
        form, workers = key
        label = (
            f"{form}, {('loop alone', 'all in one process', 'server beside workers')[(workers > 0) + (workers >= 0)]}"
        )
        counts = [row["clients"] for row in same]
        left.plot(counts, [(row["rss"] if workers < 0 else row["pss"]) / 1e6 for row in same], marker="o", label=label)
        if workers:
            right.plot(counts, [1e3 * sum(r["cpu_round"]) / len(r["cpu_round"]) for r in same], marker="o", label=label)
    left.set(xscale="log", xlabel="clients", ylabel="MB at most", ylim=(0, None))
    right.set(xscale="log", xlabel="clients", ylabel="server's ms for a client and round", ylim=(0, None))
    left.legend(frameon=False, fontsize=8)
    right.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", type=int, nargs="+", default=[12, 120, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--form", default="fedavg")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--set", action="append", default=[], help="a key of the recipe, as in coterie run")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--rows", type=Path, nargs="*", default=[], help="earlier last lines, plotted too")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plot and not importlib.util.find_spec("matplotlib"):
        parser.error("--plot needs matplotlib, which the group `study` brings: pip install --group study")
    if options.one:
        print(json.dumps((alone if options.workers < 0 else one)(options)))
        return
    found = [row for path in options.rows for row in json.loads(path.read_text().splitlines()[-1])["rows"]]
    for count in options.counts:
        command = [
            sys.executable, __file__, "--one", str(count), "--rounds", str(options.rounds), "--form", options.form,
            "--workers", str(options.workers), "--share", str(options.share),
            *(word for item in options.set for word in ("--set", item)),
        ]  # fmt: skip
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        found.append(row)
        mean = 1e3 * sum(row["cpu_round"]) / len(row["cpu_round"])
        print(
            f"{row['form']:<10} workers {row['workers']} {row['clients']:>5} clients  PSS {row['pss'] / 1e6:6.0f} MB  "
            f"RSS {row['rss'] / 1e6:6.0f} MB  {mean:6.2f} ms a client and round  {row['seconds']:6.0f} s  "
            f"results {row['results'] / 1e6:.2f} MB  checkpoint {row['checkpoint'] / 1e6:.2f} MB"
        )
    print(json.dumps({"benchmark": "server", "rows": found}))
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
