"""Training K people's LoRA: the bank against what one would use instead, in the same process.

    python benchmarks/bank_training.py [--quick] [--kind unet|dit|scribe]

Candidates, for one optimiser step of every client, in process CPU time at one thread, in rotating order, medians:

- ``peft``: one resident PEFT model, each client's factors copied in and out, own AdamW and clipping; attention as
  shipped.
- ``peft+``: the same with the plain attention that Coterie uses.
- ``bank``: all clients in one pass, in chunks of at most 8.
- ``bare``: the frozen backbone alone, forward and gradient of its input. Nobody can be faster.

Denoisers have random weights and see 32 x 32 pixels; scribe is the package's and reads 128 tokens an example.

Then each once more for the memory that it adds at its peak to what was resident before (Linux; elsewhere left out).

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import torch
from diffusers import PixArtTransformer2DModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from peft import LoraConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import AutoModelForCausalLM

from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, fit
from coterie.core.adapter import Layout
from coterie.core.work import Fit
from coterie.models import flow, language, windows
from coterie.models.backbones import doodle, scribe
from coterie.models.targets import layout_of
from coterie.models.unet import build_unet

TARGETS = {
    "unet": doodle.TARGETS["all"],
    "dit": r"\.(to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)$",
}
TOKENS = {"unet": 32, "dit": 16, "scribe": 128}
BATCHES = {"unet": (1, 8), "dit": (1, 8), "scribe": (2, 8)}
WIDTH, RANK, CHUNK = {"unet": 384, "dit": 64}, 8, 8


class Denoiser:
    """What the bank asks of a backbone, over random weights; texts are encoded already in every candidate."""

    side, device = 32, "cpu"

    def __init__(self, kind: str, dtype: torch.dtype, plain: bool) -> None:
        torch.manual_seed(0)
        self.kind, self.dtype, self.digest = kind, dtype, "benchmark"
        if kind == "unet":
            network = build_unet()
        else:
            network = PixArtTransformer2DModel(
                num_attention_heads=4, attention_head_dim=64, in_channels=3, out_channels=3, num_layers=4,
                sample_size=32, patch_size=4, cross_attention_dim=256, caption_channels=64,
                use_additional_conditions=False,
            )  # fmt: skip
        network.set_attn_processor(AttnProcessor() if plain else AttnProcessor2_0())
        last = network.conv_out if kind == "unet" else network.proj_out
        nn.init.normal_(last.weight, std=0.05)
        self.network = nn.Module.to(network.eval().requires_grad_(False), dtype)
        self.num_parameters = sum(p.numel() for p in network.parameters())

    def layout(self) -> Layout:
        return layout_of(self.network, self.digest, RANK, float(RANK), TARGETS[self.kind])

    def draw(self, prepared, batch, drop, generator):
        noise = torch.randn(batch, 3, 32, 32, generator=generator)
        sigma = flow.draw_sigma((batch,), generator)
        return {"x0": prepared["x0"][:batch], "noise": noise, "sigma": sigma, "states": prepared["states"][:batch]}

    def input(self, rows):
        return flow.corrupt(rows["x0"], rows["noise"], rows["sigma"]).to(self.dtype)

    def losses(self, rows, x=None):
        x = self.input(rows) if x is None else x
        more = {"added_cond_kwargs": {"resolution": None, "aspect_ratio": None}} if self.kind == "dit" else {}
        mask = torch.ones(rows["states"].shape[:2], dtype=self.dtype)
        out = self.network(
            x, timestep=rows["sigma"] * 1000, encoder_hidden_states=rows["states"].to(self.dtype),
            encoder_attention_mask=mask, return_dict=False, **more,
        )[0]  # fmt: skip
        return flow.velocity_loss(out, rows["x0"], rows["noise"])


class Teller:
    """The same of the package's language model."""

    device, digest = "cpu", "benchmark"

    def __init__(self, dtype: torch.dtype, plain: bool) -> None:
        attention = "eager" if plain else "sdpa"
        network = AutoModelForCausalLM.from_pretrained(
            scribe.weights_folder(), dtype=dtype, attn_implementation=attention
        )
        self.dtype, self.network = dtype, network.eval().requires_grad_(False)
        self.num_parameters = sum(p.numel() for p in network.parameters())

    def layout(self) -> Layout:
        return layout_of(self.network, self.digest, RANK, float(RANK), language.TARGETS["transformer"])

    def draw(self, prepared, batch, drop, generator):
        return windows.drawn(prepared, batch, generator)

    def input(self, rows):
        return self.network.get_input_embeddings()(rows["tokens"][:, :-1])

    def losses(self, rows, x=None):
        x = self.input(rows) if x is None else x
        return windows.losses(self.network(inputs_embeds=x, use_cache=False).logits, rows)


def model_of(kind: str, dtype: torch.dtype, plain: bool) -> Denoiser | Teller:
    return Teller(dtype, plain) if kind == "scribe" else Denoiser(kind, dtype, plain)


def examples(kind: str, client: int, batch: int):
    g = torch.Generator().manual_seed(client)
    if kind == "scribe":
        tokens = torch.randint(4096, (batch, TOKENS[kind] + 1), generator=g)
        return {"tokens": tokens, "count": torch.full((batch,), TOKENS[kind])}
    return {
        "x0": torch.rand(batch, 3, 32, 32, generator=g),
        "states": torch.randn(batch, TOKENS[kind], WIDTH[kind], generator=g),
    }


def peft_loop(kind: str, clients: int, batch: int, dtype: torch.dtype, plain: bool) -> Callable[[], None]:
    model = model_of(kind, dtype, plain)
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=[p.name for p in model.layout().parts])
    model.network = get_peft_model(model.network, config, autocast_adapter_dtype=False).to(dtype).eval()
    parameters = [p for p in model.network.parameters() if p.requires_grad]
    stored = [[p.detach().clone() for p in parameters] for _ in range(clients)]
    optimisers = [torch.optim.AdamW(parameters, lr=1e-3, fused=True) for _ in range(clients)]
    data = [examples(kind, k, batch) for k in range(clients)]
    generators = [torch.Generator().manual_seed(k) for k in range(clients)]

    def step() -> None:
        for k in range(clients):
            with torch.no_grad():
                torch._foreach_copy_(parameters, stored[k])
            model.losses(model.draw(data[k], batch, 0.0, generators[k])).mean().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimisers[k].step()
            optimisers[k].zero_grad()
            with torch.no_grad():
                torch._foreach_copy_(stored[k], parameters)

    return step


def bank_pass(kind: str, clients: int, batch: int, dtype: torch.dtype) -> Callable[[], None]:
    """Four steps a call, divided by the caller: a call also loads and reads the slots, once for all its steps."""
    model = model_of(kind, dtype, True)
    layout = model.layout()
    bank = Bank(model, layout, min(clients, CHUNK))
    start = layout.start(0)
    jobs = [
        FitJob(f"c{k}", start, Fit(steps=STEPS, batch=batch, drop=0.0), examples(kind, k, batch), k)
        for k in range(clients)
    ]
    return lambda: fit(bank, jobs)


def bare_pass(kind: str, clients: int, batch: int, dtype: torch.dtype) -> Callable[[], None]:
    model = model_of(kind, dtype, True)
    chunk = min(clients, CHUNK)
    data = [examples(kind, k, batch) for k in range(chunk)]
    together = {key: torch.cat([d[key] for d in data]) for key in data[0]}
    rows = model.draw(together, chunk * batch, 0.0, torch.Generator().manual_seed(0))
    x = model.input(rows).detach().requires_grad_(True)

    def step() -> None:
        for _ in range(-(-clients // chunk)):
            model.losses(rows, x).mean().backward()
            x.grad = None

    return step


STEPS = 4
NAMES = ("peft", "peft+", "bank", "bare")


def peak_mib(call: Callable[[], object]) -> float | None:
    """MiB of resident memory that a call adds at its peak; None where the system does not tell."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not (status.exists() and reset.exists()):
        return None

    def kib(key: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key))

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    reset.write_text("5")  # forget the peak so far
    before = kib("VmRSS")
    call()
    return (kib("VmHWM") - before) / 1024


def measure(
    kind: str, clients: int, batch: int, dtype: torch.dtype, reps: int
) -> tuple[dict[str, float], dict[str, float | None]]:
    """Median seconds of one step of all clients, and MiB at the peak, of every candidate."""
    candidates = {
        "peft": (peft_loop(kind, clients, batch, dtype, False), 1),
        "peft+": (peft_loop(kind, clients, batch, dtype, True), 1),
        "bank": (bank_pass(kind, clients, batch, dtype), STEPS),
        "bare": (bare_pass(kind, clients, batch, dtype), 1),
    }
    for call, _ in candidates.values():
        call()
    names, times = list(candidates), {name: [] for name in candidates}
    for i in range(reps):
        for name in names[i % 4 :] + names[: i % 4]:
            call, divide = candidates[name]
            began = time.process_time()
            call()
            times[name].append((time.process_time() - began) / divide)
    memory = {name: peak_mib(call) for name, (call, _) in candidates.items()}
    return {name: statistics.median(found) for name, found in times.items()}, memory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kind", choices=["unet", "dit", "scribe"], action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts, reps = ((1, 8), 3) if options.quick else ((1, 4, 8, 16), 5)
    kinds = options.kind or (["unet"] if options.quick else ["unet", "dit", "scribe"])
    found = []
    table = Table(title="CPU ms of one step of all clients; MiB added at the peak", title_justify="left")
    for heading in (
        "kind",
        "type",
        "batch",
        "K",
        *NAMES,
        "peft/bank",
        "peft+/bank",
        "bank/bare",
        *(f"{n} MiB" for n in NAMES),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind in kinds:
        for dtype in (torch.float32, torch.bfloat16):
            for batch in BATCHES[kind]:
                for clients in counts:
                    t, peak = measure(kind, clients, batch, dtype, reps)
                    name = "bf16" if dtype == torch.bfloat16 else "fp32"
                    row = {"kind": kind, "dtype": name, "batch": batch, "clients": clients}
                    ratios = {
                        "over_peft": t["peft"] / t["bank"], "over_peft_plain": t["peft+"] / t["bank"],
                        "of_bare": t["bank"] / t["bare"],
                    }  # fmt: skip
                    found.append(
                        row
                        | {f"{k}_seconds": v for k, v in t.items()}
                        | ratios
                        | {f"{k}_peak_mib": v for k, v in peak.items()}
                    )
                    table.add_row(
                        *map(str, row.values()),
                        *(f"{1e3 * t[k]:.0f}" for k in NAMES),
                        *(f"{ratio:.2f}" for ratio in ratios.values()),
                        *("" if peak[k] is None else f"{peak[k]:.0f}" for k in NAMES),
                    )
                    print(*row.values(), *(f"{k} {v:.2f}" for k, v in ratios.items()), file=sys.stderr, flush=True)
    Console(width=160).print(table)
    print(json.dumps({"benchmark": "bank_training", "threads": 1, "torch": torch.__version__, "rows": found}))


if __name__ == "__main__":
    main()
