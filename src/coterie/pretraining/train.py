"""The training loop of the embedded backbone: data-parallel processes, resumable, watched through a curve and a grid.

Every picture is a pure function of (seed, index), so a resumed run sees the same pictures as an unbroken one. The rate
warms up, stays, and falls linearly over the last part of the budget; the weights that are kept are their running mean.
The first Ctrl-C lets every process finish its step and saves; the second one stops at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coterie.core.errors import UserError
from coterie.models import flow
from coterie.models.encoders.minilm import TextStates, minilm
from coterie.models.unet import CONFIG, build_unet
from coterie.pretraining.curve import draw_curve
from coterie.pretraining.scenes import draw, draw_alone
from coterie.pretraining.sprites import Sprite, is_held_out, read_sprites

STEADY_SHARE = 0.6  # of the budget before the rate falls
FIXED = ("batch", "rate", "warmup", "ema", "drop", "seed", "drawings")  # what a folder keeps when it is continued
WEIGHTS = "diffusion_pytorch_model.safetensors"
TELL_SECONDS = 0.25  # between two steps that are told
_SPAWN = multiprocessing.get_context("spawn")

Tell = Callable[[dict[str, Any]], None]
Progress = Callable[[int, float], None]
GRID_CAPTIONS = (
    "cat face", "dog face", "red apple", "fish", "tulip", "house", "automobile", "guitar",
    "grinning face", "red heart", "star", "birthday cake", "rocket", "penguin", "mushroom", "clown face",
    "a red car in the snow", "a blue bird at night", "a green hat", "a small yellow fish by the sea",
    "a big purple butterfly", "a pink house in a meadow", "a brown horse in the desert", "a gray cat at sunset",
    "owl", "octopus", "hamburger", "soccer ball", "airplane", "key", "umbrella", "evergreen tree",
)  # fmt: skip


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
    _open(folder, drawings, settings)
    progress = progress or (lambda seen, loss: None)
    with _Stop(threading.Event() if settings.processes == 1 else _SPAWN.Event()) as stop:
        if settings.processes == 1:
            _train(0, folder, (train, held_out), settings, tell, progress, stop.asked.is_set)
        else:
            _in_processes(folder, drawings, settings, tell, progress, stop)
    if stop.asked.is_set():
        raise KeyboardInterrupt
    return folder / WEIGHTS


def seen_before(folder: Path) -> int:
    """Pictures that the state in a folder has seen; 0 without one."""
    return _read_meta(folder)[0] if (folder / "state.safetensors").exists() else 0


class _Stop:
    """Whether Ctrl-C was pressed; pressed again, it interrupts as usual.

    Processes that are started within ``quiet`` never hear of it: the one that started them tells them.
    """

    def __init__(self, asked: Any) -> None:
        self.asked = asked
        heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # not in the background of a script
        self.hears = heard and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> _Stop:
        if self.hears:
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.hears:
            signal.signal(signal.SIGINT, self.before)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        if not self.hears:
            yield
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_processes(
    folder: Path, drawings: list[Path], settings: Pretraining, tell: Tell, progress: Progress, stop: _Stop
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


def _open(folder: Path, drawings: list[Path], settings: Pretraining) -> None:
    """Makes the folder, or finds in it a run of the same settings; writes them down."""
    path = folder / "settings.json"
    own = {**asdict(settings), "drawings": [p.name for p in drawings]}
    try:
        if seen_before(folder) and path.exists():
            found = json.loads(path.read_text())
            for key in FIXED:
                if found.get(key) != own[key]:
                    raise UserError(
                        f"{folder}: was begun with {key} {_words(found.get(key))}, not {_words(own[key])}; "
                        "choose another folder, or go on as it was begun"
                    )
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(own, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another folder") from error
    except ValueError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


class Drawn(Dataset[tuple[Tensor, str]]):
    """Pictures by index, in [-1, 1], with captions; each drawn from its own stream of random numbers."""

    def __init__(self, sprites: list[Sprite], seed: int) -> None:
        self.sprites, self.seed = sprites, seed

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        pixels, caption = draw(self.sprites, np.random.default_rng([self.seed, index]))
        return to_tensor(pixels), caption


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels ``(..., h, w, 3)`` of 0 to 255 as a tensor ``(..., 3, h, w)`` in [-1, 1]."""
    return torch.from_numpy(np.array(pixels)).movedim(-1, -3).float() / 127.5 - 1


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
    texts = _Texts(device)
    check = _Check(held_out, texts, device) if rank == 0 else None
    own = settings.batch // world
    loader = DataLoader(
        Drawn(train, settings.seed),
        batch_size=own,
        sampler=_Indices(seen, settings.pictures, settings.batch, slice(rank * own, (rank + 1) * own)),
        num_workers=settings.loaders,
        collate_fn=_collate,
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
        with torch.autocast(device, torch.bfloat16):
            out = _velocity(network, flow.corrupt(x0, noise, sigma), sigma, states)
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


class _Indices:
    """Which pictures a process draws: its share of each whole batch, from a point on."""

    def __init__(self, start: int, end: int, batch: int, share: slice) -> None:
        self.start, self.end, self.batch, self.share = start, end, batch, share

    def __iter__(self) -> Iterator[int]:
        for first in range(self.start, self.end - self.batch + 1, self.batch):
            yield from range(first, first + self.batch)[self.share]


class _Texts:
    """Captions to token states, remembering those that come again."""

    def __init__(self, device: str) -> None:
        self.device, self.known = device, {}  # type: str, dict[str, tuple[Tensor, Tensor]]

    def __call__(self, captions: list[str]) -> TextStates:
        if len(self.known) > 20_000:  # scenes rarely come again; names and the empty caption soon do
            self.known.clear()
        new = sorted({c for c in captions if c not in self.known})
        if new:
            encoded = minilm(self.device).encode(new)
            for i, caption in enumerate(new):
                length = int(encoded.mask[i].sum())
                self.known[caption] = (encoded.states[i, :length].half(), encoded.pooled[i])
        rows = [self.known[c] for c in captions]
        longest = max(len(states) for states, _ in rows)
        states = torch.zeros(len(rows), longest, rows[0][0].shape[1], device=self.device)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool, device=self.device)
        for i, (row, _) in enumerate(rows):
            states[i, : len(row)], mask[i, : len(row)] = row.float(), True
        return TextStates(states, mask, torch.stack([pooled for _, pooled in rows]))


class _Check:
    """Held-out loss at fixed noise, and a grid of fixed prompts, both of the mean weights."""

    def __init__(self, held_out: list[Sprite], texts: _Texts, device: str) -> None:
        rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
        chosen = [held_out[i] for i in rng.permutation(len(held_out))[:256]]
        pictures, captions = zip(*(draw_alone(s, rng) for s in chosen), strict=True)
        self.x0 = to_tensor(np.stack(pictures)).to(device)
        self.noise = torch.randn(self.x0.shape, generator=generator).to(device)
        self.sigma = ((torch.arange(len(self.x0)) % 16 + 0.5) / 16).to(device)
        self.states = [texts(list(captions[i : i + 64])) for i in range(0, len(captions), 64)]
        self.prompts, self.empty = texts(list(GRID_CAPTIONS)), texts([""] * len(GRID_CAPTIONS))
        self.start = torch.randn(len(GRID_CAPTIONS), 3, 32, 32, generator=generator).to(device)
        self.model, self.device = build_unet().to(device).eval(), device

    @torch.no_grad()
    def loss(self, weights: dict[str, Tensor]) -> float:
        self.model.load_state_dict(weights)
        total = 0.0
        for i, states in enumerate(self.states):
            rows = slice(64 * i, 64 * i + len(states.mask))
            x0, noise, sigma = self.x0[rows], self.noise[rows], self.sigma[rows]
            with torch.autocast(self.device, torch.bfloat16):
                out = _velocity(self.model, flow.corrupt(x0, noise, sigma), sigma, states)
            total += float(flow.velocity_loss(out, x0, noise).sum())
        return total / len(self.x0)

    @torch.no_grad()
    def grid(self, weights: dict[str, Tensor], path: Path, steps: int, guidance: float = 3.0) -> None:
        from PIL import Image

        self.model.load_state_dict(weights)
        x, sigmas = self.start, flow.euler_sigmas(steps).to(self.device)
        for here, after in itertools.pairwise(sigmas):
            level = here.expand(len(x))
            with torch.autocast(self.device, torch.bfloat16):
                told = _velocity(self.model, x, level, self.prompts).float()
                untold = _velocity(self.model, x, level, self.empty).float()
            x = flow.euler_step(x, flow.guide(told, untold, guidance), level, after.expand(len(x)))
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1).cpu().numpy()
        sheet = Image.new("RGB", (8 * 66, len(pixels) // 8 * 66), "white")
        for i, picture in enumerate(pixels):
            sheet.paste(
                Image.fromarray(picture).resize((64, 64), Image.Resampling.NEAREST), (i % 8 * 66 + 1, i // 8 * 66 + 1)
            )
        sheet.save(path)


def _velocity(network: Any, x: Tensor, sigma: Tensor, states: TextStates) -> Tensor:
    out: Tensor = network(
        x,
        sigma * flow.TIMESTEPS,
        encoder_hidden_states=states.states,
        encoder_attention_mask=states.mask.float(),
        return_dict=False,
    )[0]
    return out


def _collate(rows: list[tuple[Tensor, str]]) -> tuple[Tensor, list[str]]:
    return torch.stack([picture for picture, _ in rows]), [caption for _, caption in rows]


def _save(
    folder: Path, model: Any, optimiser: torch.optim.Optimizer, ema: dict[str, Tensor], seen: int, seconds: float
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.items()}
    for i, parameter in enumerate(model.parameters()):
        for key, value in optimiser.state[parameter].items():
            tensors[f"optimiser.{i}.{key}"] = value
    meta = {"seen": str(seen), "seconds": str(seconds), "config": json.dumps(CONFIG)}
    cpu = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(cpu, folder / "state.part", metadata=meta)
    os.replace(folder / "state.part", folder / "state.safetensors")
    half = {k: v.detach().cpu().half().contiguous() for k, v in ema.items()}
    save_file(half, folder / "weights.part", metadata={"format": "pt"})
    os.replace(folder / "weights.part", folder / WEIGHTS)
    model.save_config(folder)


def _load(
    folder: Path, model: Any, optimiser: torch.optim.Optimizer, ema: dict[str, Tensor], device: str
) -> tuple[int, float]:
    path = folder / "state.safetensors"
    if not path.exists():
        return 0, 0.0
    tensors = load_file(path, device=device)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for name in ema:
        ema[name] = tensors[f"ema.{name}"]
    for i, parameter in enumerate(model.parameters()):
        keys = ("step", "exp_avg", "exp_avg_sq")
        optimiser.state[parameter] = {key: tensors[f"optimiser.{i}.{key}"] for key in keys}
    return _read_meta(folder)


def _read_meta(folder: Path) -> tuple[int, float]:
    """Pictures seen and seconds spent, of a folder's state."""
    from safetensors import safe_open

    path = folder / "state.safetensors"
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata()
        return int(meta["seen"]), float(meta["seconds"])
    except (SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no state that can be read; delete it to begin again") from error
