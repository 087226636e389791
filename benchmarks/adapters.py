"""Many adapters on one model: what the 1st, 64th and 256th of 256 cost to add, activate, save and load.

    python benchmarks/adapters.py

Ours: an adapter is a value; adding is padding its row, activating is binding one group of the bank. PEFT's: named
modules inside the model. Both on the doodle's U-Net at rank 8, one thread, wall time, the median of three adapters
around the place; saving and loading write and read the same files. The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from rich.console import Console
from rich.progress import track
from rich.table import Table

from coterie.bank.bank import Bank
from coterie.core.adapter import Adapter
from coterie.models.backbones.doodle import Doodle
from coterie.models.peft_files import peft_files, read_peft

PLACES, TOTAL, RANK = (1, 64, 256), 256, 8


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def near(place: int) -> list[int]:
    """Three numbers at or before a place."""
    return [n for n in (place - 2, place - 1, place) if n >= 1]


def ours(folder: Path) -> dict[str, dict[int, float]]:
    model = Doodle()
    layout = model.layout(RANK, float(RANK), "all")
    bank = Bank(model, layout, 1)
    held: dict[int, Adapter] = {}
    times: dict[str, dict[int, list[float]]] = {name: {p: [] for p in PLACES} for name in OPERATIONS}
    made = [Adapter(layout, torch.randn(layout.size, generator=torch.Generator().manual_seed(i))) for i in range(TOTAL)]

    def note(name: str, number: int, seconds: float) -> None:
        for place in PLACES:
            if number in near(place):
                times[name][place].append(seconds)

    for number, adapter in enumerate(track(made, "Coterie", console=Console(stderr=True)), 1):
        note(
            "add", number, timed(lambda n=number, a=adapter: held.update({n: Adapter(layout, bank.padded(a).clone())}))
        )
        note("activate", number, timed(lambda n=number: bank.bind_groups([[(held[n], 1.0)]])))
        place = folder / f"ours-{number}"
        note("save", number, timed(lambda p=place, a=adapter: write(p, peft_files(a))))
        note("load", number, timed(lambda p=place: read_peft(p, model.digest)))
    return medians(times)


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def by_peft(folder: Path) -> dict[str, dict[int, float]]:
    """An adapter is loaded beside all that are there already, as a server would, after it was taken out once."""
    model = Doodle()
    names = [part.name for part in model.layout(RANK, float(RANK), "all").parts]
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=names)
    times: dict[str, dict[int, list[float]]] = {name: {p: [] for p in PLACES} for name in OPERATIONS}
    began = time.perf_counter()
    wrapped: PeftModel = get_peft_model(model.network, config, adapter_name="a1")
    first = time.perf_counter() - began
    wanted = {number for place in PLACES for number in near(place)}
    for number in track(range(1, TOTAL + 1), "PEFT", console=Console(stderr=True)):
        name = f"a{number}"
        seconds = timed(lambda n=name: wrapped.add_adapter(n, config)) if number > 1 else first
        if number not in wanted:
            continue
        noted = {"add": seconds, "activate": timed(lambda n=name: wrapped.set_adapter(n))}
        place = folder / f"peft-{number}"
        noted["save"] = timed(lambda p=place, n=name: wrapped.save_pretrained(p, selected_adapters=[n]))
        if number == 1:
            wrapped.add_adapter("other", config)  # PEFT's model cannot be without any
            wrapped.set_adapter("other")
        wrapped.delete_adapter(name)
        noted["load"] = timed(lambda p=place, n=name: wrapped.load_adapter(p / n, n))
        for operation, value in noted.items():
            for at in PLACES:
                if number in near(at):
                    times[operation][at].append(value)
    return medians(times)


def medians(times: dict[str, dict[int, list[float]]]) -> dict[str, dict[int, float]]:
    return {name: {p: statistics.median(v) for p, v in places.items() if v} for name, places in times.items()}


OPERATIONS = ("add", "activate", "save", "load")


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as place:
        found = {"coterie": ours(Path(place)), "peft": by_peft(Path(place))}
    table = Table(title=f"milliseconds, of {TOTAL} adapters of rank {RANK}", title_justify="left")
    for heading in ("", *(f"{who} {place}." for who in found for place in PLACES)):
        table.add_column(heading, justify="right", no_wrap=True)
    for operation in OPERATIONS:
        cells = [found[who][operation].get(place) for who in found for place in PLACES]
        table.add_row(operation, *("" if seconds is None else f"{1e3 * seconds:.1f}" for seconds in cells))
    Console(width=120).print(table)
    print(json.dumps({"benchmark": "adapters", "threads": 1, "torch": torch.__version__, "seconds": found}))


if __name__ == "__main__":
    main()
