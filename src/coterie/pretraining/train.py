"""The training loop of the embedded backbone: data-parallel processes, resumable, watched through a curve and a grid.

Every picture is a pure function of (seed, index), so a resumed run sees the same pictures as an unbroken one. The rate
warms up, stays, and falls linearly over the last part of the budget; the weights that are kept are their running mean.
The first Ctrl-C lets every process finish its step and saves; the second one stops at once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from coterie.core.errors import UserError
from coterie.core.mixed import mixed
from coterie.models import flow
from coterie.models.unet import CONFIG, build_unet
from coterie.pretraining.batches import Drawn, Indices, together
from coterie.pretraining.check import Check
from coterie.pretraining.curve import draw_curve
from coterie.pretraining.folder import STATE, open_folder, progress_of, save_state
from coterie.pretraining.sprites import Sprite, is_held_out, read_sprites
from coterie.pretraining.stop import Stop
from coterie.pretraining.texts import Texts, velocity

STEADY_SHARE = 0.6  # of the budget before the rate falls
FIXED = ("batch", "rate", "warmup", "ema", "drop", "seed", "drawings")  # what a folder keeps when it is continued
WEIGHTS = "diffusion_pytorch_model.safetensors"
TELL_SECONDS = 0.25  # between two steps that are told
_SPAWN = multiprocessing.get_context("spawn")

Tell = Callable[[dict[str, Any]], None]
Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Pretraining:
    """Settings of one pretraining run.

    Attributes:
        pictures: budget, counted over all processes.
        batch: pictures per step, over all processes.
        rate: peak learning rate of AdamW.
        warmup: steps until the peak.
        ema: decay of the running mean of the weights.
        drop: share of captions replaced by the empty one, for classifier-free guidance.
        seed: of pictures, noise and weights.
        processes: data-parallel processes of one thread each (CPU).
        device: ``cpu`` or ``cuda``.
        loaders: helper processes that draw pictures (for a GPU).
        save_seconds: between checkpoints.
        grid_steps: denoising steps of the pictures that are watched.
    """

    pictures: int = 600_000
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 200
    ema: float = 0.999
    drop: float = 0.1
    seed: int = 0
    processes: int = 2
    device: str = "cpu"
    loaders: int = 0
    save_seconds: float = 300.0
    grid_steps: int = 16


def pretrain(
    folder: Path, drawings: list[Path], settings: Pretraining, tell: Tell, progress: Progress | None = None
) -> Path:
    """Trains until the budget is used up and returns the path of the weights; a folder with a state is continued.

    Writes ``settings.json``, ``curve.jsonl``, ``curve.svg``, ``grid.png``, ``state.safetensors`` (all that is needed to
    go on) and the running mean of the weights in diffusers' layout, at every save and at the end.

    Args:
        folder: where all of this is.
        drawings: parquet files, see ``coterie.pretraining.sprites``.
        settings: of the run; ``FIXED`` says which must stay the same when a folder is continued.
        tell: gets a dict of numbers after every evaluation.
        progress: gets pictures seen and the mean training loss, a few times a second.

    Raises:
        UserError: if the settings, the drawings or the folder cannot be used.
        KeyboardInterrupt: after Ctrl-C; the first one lets the step end and saves before.
    """
    _check_settings(settings)
    train, held_out = _split(read_sprites(drawings))
    open_folder(folder, {**asdict(settings), "drawings": [p.name for p in drawings]}, FIXED, _words)
    progress = progress or (lambda seen, loss: None)
    with Stop(threading.Event() if settings.processes == 1 else _SPAWN.Event()) as stop:
        if settings.processes == 1:
            _train(0, folder, (train, held_out), settings, tell, progress, stop.asked.is_set)
        else:
            _in_processes(folder, drawings, settings, tell, progress, stop)
    if stop.asked.is_set():
        raise KeyboardInterrupt
    return folder / WEIGHTS


def _in_processes(
    folder: Path, drawings: list[Path], settings: Pretraining, tell: Tell, progress: Progress, stop: Stop
) -> None:
    """Trains in processes of one thread each, and passes on what the first of them says."""
    from torch.multiprocessing.spawn import start_processes

    said = _SPAWN.SimpleQueue()
    (folder / "rendezvous").unlink(missing_ok=True)
    with stop.quiet():
        running = start_processes(
            _joined, args=(folder, drawings, settings, said, stop.asked), nprocs=settings.processes, join=False
        )
    try:
        ended = False
        while not ended:
            ended = running.join(timeout=0.1)
            while not said.empty():
                what, *values = said.get()
                (tell if what == "point" else progress)(*values)
    finally:
        for process in running.processes:
            process.terminate()
        (folder / "rendezvous").unlink(missing_ok=True)


def _joined(rank: int, folder: Path, drawings: list[Path], settings: Pretraining, said: Any, asked: Any) -> None:
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{(folder / 'rendezvous').resolve()}", rank=rank, world_size=settings.processes
    )

    def stopped() -> bool:  # the same answer in all processes, so that all stop after the same step
        alone = parent is not None and not parent.is_alive()
        answer = torch.tensor(int(asked.is_set() or alone))
        torch.distributed.broadcast(answer, 0)
        return bool(answer)

    try:
        _train(
            rank, folder, _split(read_sprites(drawings)), settings, lambda point: said.put(("point", point)),
            lambda seen, loss: said.put(("step", seen, loss)), stopped,
        )  # fmt: skip
    finally:
        torch.distributed.destroy_process_group()


def _check_settings(settings: Pretraining) -> None:
    if settings.pictures < settings.batch:
        raise UserError(
            f"{settings.pictures} pictures are less than one step of {settings.batch}; give a larger budget"
        )
    if settings.batch % settings.processes:
        raise UserError(f"{settings.processes} processes cannot share {settings.batch} pictures a step evenly")
    if settings.device not in ("cpu", "cuda"):
        raise UserError(f"device {settings.device!r}: no such device; there are: cpu, cuda")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda': this machine has none that can be used; there is: cpu")


def _split(sprites: list[Sprite]) -> tuple[list[Sprite], list[Sprite]]:
    """Drawings to train on and drawings to check with."""
    train = [s for s in sprites if not is_held_out(s.codepoint)]
    held_out = [s for s in sprites if is_held_out(s.codepoint)]
    if not train or not held_out:
        raise UserError(f"{len(sprites)} drawings are too few: about one in ten is held out, and both parts need some")
    return train, held_out


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def learning_rate(settings: Pretraining, seen: int) -> float:
    """The rate after ``seen`` pictures: warm-up, steady, then linear to zero at the end of the budget."""
    rise = min(1.0, (seen / settings.batch + 1) / settings.warmup)
    fall = min(1.0, max(0.0, 1 - seen / settings.pictures) / (1 - STEADY_SHARE))
    return settings.rate * rise * fall


def _train(
    rank: int,
    folder: Path,
    sprites: tuple[list[Sprite], list[Sprite]],
    settings: Pretraining,
    tell: Tell,
    progress: Progress,
    stopped: Callable[[], bool],
) -> None:
    device, world = settings.device, settings.processes
    torch.manual_seed(settings.seed)
    train, held_out = sprites
    model = build_unet().to(device)
    optimiser = torch.optim.AdamW(model.parameters(), settings.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
    seen, seconds = _load(folder, model, optimiser, ema, device)
    network: Any = torch.nn.parallel.DistributedDataParallel(model) if world > 1 else model
    texts = Texts(device)
    check = Check(held_out, texts, device) if rank == 0 else None
    own = settings.batch // world
    loader = DataLoader(
        Drawn(train, settings.seed),
        batch_size=own,
        sampler=Indices(seen, settings.pictures, settings.batch, slice(rank * own, (rank + 1) * own)),
        num_workers=settings.loaders,
        collate_fn=together,
    )
    started, saved, told, mean_loss = time.monotonic() - seconds, time.monotonic(), 0.0, float("nan")
    if rank == 0:
        progress(seen, mean_loss)
    model.train()
    for x0, captions in loader:
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + seen + rank)
        kept = torch.rand(len(captions), generator=generator) >= settings.drop
        states = texts([c if k else "" for c, k in zip(captions, kept.tolist(), strict=True)])
        sigma = flow.draw_sigma((len(x0),), generator).to(device)
        noise = torch.randn(x0.shape, generator=generator).to(device)
        x0 = x0.to(device)
        with mixed(device):
            out = velocity(network, flow.corrupt(x0, noise, sigma), sigma, states)
        loss = flow.velocity_loss(out, x0, noise).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(settings, seen)
        optimiser.step()
        optimiser.zero_grad()
        seen += settings.batch
        step = seen // settings.batch
        decay = min(settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.values()), [v.detach() for v in model.state_dict().values()], 1 - decay)
        last, stop = seen + settings.batch > settings.pictures, stopped()
        if check is not None:
            if step % 20 == 1 or last or mean_loss != mean_loss:
                mean_loss = loss.item() if mean_loss != mean_loss else 0.8 * mean_loss + 0.2 * loss.item()
            if time.monotonic() - told > TELL_SECONDS or last:
                progress(seen, mean_loss)
                told = time.monotonic()
            due = time.monotonic() - saved > settings.save_seconds or last
            if due or stop:
                elapsed = time.monotonic() - started
                _save(folder, model, optimiser, ema, seen, elapsed)
            if due:
                point = {"pictures": seen, "seconds": round(elapsed, 1), "train": round(mean_loss, 4)}
                point["held_out"] = round(check.loss(ema), 4)
                check.grid(ema, folder / "grid.png", settings.grid_steps)
                with open(folder / "curve.jsonl", "a") as curve:
                    curve.write(json.dumps(point) + "\n")
                draw_curve(folder / "curve.jsonl", folder / "curve.svg")
                tell(point)
                saved = time.monotonic()
        if stop:
            return


def _save(
    folder: Path, model: Any, optimiser: torch.optim.Optimizer, ema: dict[str, Tensor], seen: int, seconds: float
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.items()}
    for i, parameter in enumerate(model.parameters()):
        for key, value in optimiser.state[parameter].items():
            tensors[f"optimiser.{i}.{key}"] = value
    save_state(folder, tensors, seen, seconds, config=json.dumps(CONFIG))
    half = {k: v.detach().cpu().half().contiguous() for k, v in ema.items()}
    save_file(half, folder / "weights.part", metadata={"format": "pt"})
    os.replace(folder / "weights.part", folder / WEIGHTS)
    model.save_config(folder)


def _load(
    folder: Path, model: Any, optimiser: torch.optim.Optimizer, ema: dict[str, Tensor], device: str
) -> tuple[int, float]:
    if not (folder / STATE).exists():
        return 0, 0.0
    tensors = load_file(folder / STATE, device=device)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for name in ema:
        ema[name] = tensors[f"ema.{name}"]
    for i, parameter in enumerate(model.parameters()):
        keys = ("step", "exp_avg", "exp_avg_sq")
        optimiser.state[parameter] = {key: tensors[f"optimiser.{i}.{key}"] for key in keys}
    return progress_of(folder)
