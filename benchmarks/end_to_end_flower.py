"""The job of ``end_to_end.py`` in Flower's simulation, with PEFT: for an environment of its own.

    python -m venv flower && flower/bin/pip install "torch==2.13.0" && flower/bin/pip install . "flwr[simulation]"
    python benchmarks/end_to_end.py --flower flower/bin/python

Two ways to write the client: ``fresh`` makes the model, its adapter and its text encoder at every message, as Flower's
examples of fine-tuning do; ``cached`` keeps them in the actor, and the encoded texts of every client with them. The
strategy is Flower's own FedAvg over the adapter's numbers; one actor, so that one process trains. Wall seconds from one
round's beginning to the next; the first, in which Ray starts, is left out. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import time
from pathlib import Path

for key, value in {
    "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0",
    "DIFFUSERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive",
}.items():  # fmt: skip
    os.environ.setdefault(key, value)  # Flower reads its switches when it is imported

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

CLIENTS, COHORT, STEPS, BATCH, RANK, RATE = 100, 10, 16, 8, 8, 3e-3


def model_of(dtype: str):
    """The resident model with its adapter, and its parameters in order."""
    import torch
    from peft import LoraConfig, get_peft_model

    from coterie.models.backbones.doodle import Doodle

    torch.set_num_threads(1)
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    model = Doodle(kind)
    names = [part.name for part in model.layout(RANK, float(RANK), "all").parts]
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=names)
    model.network = get_peft_model(model.network, config, autocast_adapter_dtype=False).to(kind).eval()
    return model, [p for p in model.network.parameters() if p.requires_grad]


def pictures_of(model, data: str, client: int):
    import numpy as np
    from PIL import Image

    home = Path(data) / f"c{client:03d}"
    files = sorted(home.glob("*.png"))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    return model.prepare(pixels, [file.with_suffix(".txt").read_text() for file in files])


@functools.cache
def kept_model(dtype: str):
    return model_of(dtype)


@functools.cache
def kept_pictures(dtype: str, data: str, client: int):
    return pictures_of(kept_model(dtype)[0], data, client)


def client_app(data: str, dtype: str, cached: bool) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        import torch

        client = int(context.node_config["partition-id"])
        model, parameters = kept_model(dtype) if cached else model_of(dtype)
        rows = kept_pictures(dtype, data, client) if cached else pictures_of(model, data, client)
        with torch.no_grad():
            sent = message.content["arrays"].to_torch_state_dict()
            torch._foreach_copy_(parameters, [sent[str(i)].to(parameters[0].dtype) for i in range(len(parameters))])
        optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0, fused=True)
        generator = torch.Generator().manual_seed(client)
        for _ in range(STEPS):
            model.losses(model.draw(rows, BATCH, 0.1, generator)).mean().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            optimiser.zero_grad()
        trained = ArrayRecord({str(i): p.detach().float() for i, p in enumerate(parameters)})
        metrics = MetricRecord({"num-examples": len(rows[next(iter(rows))])})
        return Message(content=RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)

    return app


def server_app(rounds: int, dtype: str, begun: list[float]) -> ServerApp:
    app = ServerApp()

    class Timed(FedAvg):
        def configure_train(self, *arguments, **more):
            begun.append(time.perf_counter())
            return super().configure_train(*arguments, **more)

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        parameters = model_of(dtype)[1]
        start = ArrayRecord({str(i): p.detach().float() for i, p in enumerate(parameters)})
        strategy = Timed(fraction_train=COHORT / CLIENTS, fraction_evaluate=0.0, min_available_nodes=CLIENTS)
        strategy.start(grid=grid, initial_arrays=start, num_rounds=rounds + 1, train_config=ConfigRecord({}))
        begun.append(time.perf_counter())

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--cached", action="store_true")
    options = parser.parse_args()
    begun: list[float] = []
    run_simulation(
        server_app=server_app(options.rounds, options.dtype, begun),
        client_app=client_app(options.data, options.dtype, options.cached),
        num_supernodes=CLIENTS,
        backend_config={"client_resources": {"num_cpus": os.cpu_count() or 1, "num_gpus": 0.0}},  # one actor
    )
    print(json.dumps({"seconds": [b - a for a, b in itertools.pairwise(begun)][1:]}))


if __name__ == "__main__":
    import end_to_end_flower  # by name: what an actor caches must live in a module that it imports

    end_to_end_flower.main()
