"""The training loop of the embedded language model: one process, resumable, watched through a curve and a page of text.

A small Llama (Touvron et al., 2023, arXiv:2302.13971) on windows of books. Hidden matrices are trained with Muon
(Jordan et al., 2024), everything else with AdamW. Every batch is a pure function of (seed, step), so a resumed run sees
the same windows as an unbroken one. The rate warms up, stays, and falls linearly over the last part of the budget; the
weights that are kept are their running mean.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from coterie.core.allocator import keep_freed_memory
from coterie.core.errors import UserError
from coterie.core.mixed import mixed
from coterie.models.pipeline_files import quiet
from coterie.pretraining.books import END, VOCABULARY, Library, read_books, vocabulary
from coterie.pretraining.curve import draw_curve
from coterie.pretraining.folder import STATE, open_folder, progress_of, save_state
from coterie.pretraining.llama import drop, optimisers_of, small_llama, window_loss

STEADY_SHARE = 0.5  # of the budget before the rate falls
FIXED = (
    "batch", "context", "rate", "warmup", "ema", "dropout", "decay", "seed", "vocabulary", "layers", "width", "books",
    "left_out",
)  # fmt: skip
TOKENIZER = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END, "eos_token": END}
"""What a folder says of its tokenizer: a name that every version of transformers knows."""
TELL_SECONDS = 0.25
CHECKED = 64  # windows of held-out text that the loss is measured on
BEGINNINGS = ("It was a", "She looked at the", "In the morning", "He said that")

Tell = Callable[[dict[str, Any]], None]
Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class LanguagePretraining:
    """Settings of one pretraining run.

    Attributes:
        tokens: budget.
        batch: windows a step.
        context: tokens of a window.
        rate: peak learning rate, of both optimisers.
        warmup: steps until the peak.
        ema: decay of the running mean of the weights.
        dropout: share of numbers that are dropped after the embedding and every block, while training.
        decay: of weights, times the rate; not of norms. Books are few and are read many times, so both are needed.
        seed: of windows, weights and what is dropped.
        vocabulary: tokens of it.
        layers: of the network.
        width: of its states; heads are 64 wide.
        device: ``cpu`` or ``cuda``.
        save_seconds: between checkpoints.
    """

    tokens: int = 7_600_000
    batch: int = 16
    context: int = 256
    rate: float = 3e-3
    warmup: int = 50
    ema: float = 0.998
    dropout: float = 0.1
    decay: float = 0.3
    seed: int = 0
    vocabulary: int = VOCABULARY
    layers: int = 6
    width: int = 192
    device: str = "cpu"
    save_seconds: float = 300.0

    @property
    def each(self) -> int:
        """Tokens of a step."""
        return self.batch * self.context


def pretrain_language(
    folder: Path,
    books: list[Path],
    settings: LanguagePretraining,
    tell: Tell,
    progress: Progress = lambda seen, loss: None,
    left_out: tuple[str, ...] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """Trains until the budget is used up; a folder with a state is continued.

    Writes ``settings.json``, ``curve.jsonl``, ``curve.svg``, ``texts.txt``, ``state.safetensors`` (all that is needed
    to go on) and a model with its tokenizer as transformers saves them, in float16, at every save and at the end.

    Args:
        folder: where all of this is.
        books: parquet files, see ``coterie.pretraining.books``.
        settings: of the run; ``FIXED`` says which must stay the same when a folder is continued.
        tell: gets a dict of numbers after every evaluation.
        progress: gets tokens seen and the mean training loss, a few times a second.
        left_out: authors who are not read, see ``coterie.pretraining.books``.
        stopped: asked after every step; where it says so, everything is saved and this ends.

    Returns:
        The folder, which ``backbone.path`` of a recipe takes.

    Raises:
        UserError: if the settings, the books or the folder cannot be used.
    """
    if settings.tokens < settings.each:
        raise UserError(f"{settings.tokens} tokens are less than one step of {settings.each}; give a larger budget")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda': this machine has none that can be used; there is: cpu")
    if settings.device not in ("cpu", "cuda"):
        raise UserError(f"device {settings.device!r}: no such device; there are: cpu, cuda")
    if not hasattr(torch.optim, "Muon"):
        raise UserError(f"pre-training a language model needs torch 2.9 or later, here is {torch.__version__}")
    keep_freed_memory()
    library = read_books(books, left_out)
    own = {**asdict(settings), "books": [p.name for p in books], "left_out": list(library.left_out)}
    open_folder(folder, {**own, "authors": library.authors}, FIXED)
    tokenizer = vocabulary(library.train, settings.vocabulary)
    _Run(folder, settings, tokenizer, library).play(tell, progress, stopped)
    return folder


class _Run:
    def __init__(self, folder: Path, settings: LanguagePretraining, tokenizer: Any, library: Library) -> None:
        self.folder, self.settings, self.tokenizer = folder, settings, tokenizer
        end = tokenizer.eos_token_id
        self.train, held_out = (
            torch.tensor([t for text in texts for t in (*tokenizer.encode(text, verbose=False), end)])
            for texts in (library.train, library.held_out)
        )
        size = settings.context
        many = min(CHECKED, (len(held_out) - 1) // size)
        if len(self.train) <= size or not many:
            raise UserError(f"{len(self.train)} tokens of text are too few for windows of {size}")
        self.letters = sum(map(len, library.held_out)) + len(library.held_out)
        self.letters_a_token = self.letters / len(held_out)
        self.check = held_out[: many * size + 1].unfold(0, size + 1, size)
        torch.manual_seed(settings.seed)
        self.network = small_llama(settings.width, settings.layers, tokenizer).to(settings.device).train()
        drop(self.network, settings.dropout)
        self.ema = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.optimisers = optimisers_of(self.network, settings.rate, settings.decay)
        self.seen, self.seconds = self._load()

    def play(self, tell: Tell, progress: Progress, stopped: Callable[[], bool]) -> None:
        settings, mean, told = self.settings, float("nan"), 0.0
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        progress(self.seen, mean)
        while self.seen + settings.each <= settings.tokens:
            loss = self._step()
            mean = loss if mean != mean else 0.95 * mean + 0.05 * loss
            last, stop = self.seen + settings.each > settings.tokens, stopped()
            if time.monotonic() - told > TELL_SECONDS or last:
                progress(self.seen, mean)
                told = time.monotonic()
            due = time.monotonic() - saved > settings.save_seconds or last
            if due or stop:
                self.seconds = time.monotonic() - started
                self._save()
            if due:
                held_out = self._check()
                bits = held_out / self.letters_a_token / math.log(2)
                point = {"tokens": self.seen, "seconds": round(self.seconds, 1), "train": round(mean, 4),
                         "held_out": round(held_out, 4), "bits_by_character": round(bits, 4)}  # fmt: skip
                with open(self.folder / "curve.jsonl", "a") as curve:
                    curve.write(json.dumps(point) + "\n")
                draw_curve(self.folder / "curve.jsonl", self.folder / "curve.svg", "tokens")
                tell(point)
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt

    def _step(self) -> float:
        settings, step = self.settings, self.seen // self.settings.each
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        begin = torch.randint(len(self.train) - settings.context, (settings.batch,), generator=generator)
        windows = torch.stack([self.train[i : i + settings.context + 1] for i in begin.tolist()]).to(settings.device)
        torch.manual_seed(settings.seed * 1_000_003 + step)  # of what is dropped
        with mixed(settings.device):
            loss = window_loss(self.network, windows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(settings, self.seen)
            optimiser.step()
            optimiser.zero_grad()
        self.seen += settings.each
        decay = min(settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.ema[name].lerp_(value, 1 - decay)
        return float(loss.detach())

    @torch.no_grad()
    def _check(self) -> float:
        """Nats by token of held-out text, of the mean weights; they write a few beginnings on as well."""
        from coterie.bank.write import Writing, pick

        mean = small_llama(self.settings.width, self.settings.layers, self.tokenizer).to(self.settings.device).eval()
        mean.load_state_dict(self.ema)
        losses = [float(window_loss(mean, some.to(self.settings.device))) * len(some) for some in self.check.split(16)]
        lines, end = [], self.tokenizer.eos_token_id
        for number, begun in enumerate(BEGINNINGS):
            tokens, generator = [end, *self.tokenizer.encode(begun)], torch.Generator().manual_seed(number)
            for _ in range(48):
                logits = mean(input_ids=torch.tensor([tokens], device=self.settings.device)).logits[0, -1]
                tokens.append(pick(logits.float().cpu(), Writing(), generator))
            lines.append(self.tokenizer.decode(tokens, skip_special_tokens=True))
        (self.folder / "texts.txt").write_text("\n\n".join(lines) + "\n")
        return sum(losses) / len(self.check)

    def _save(self) -> None:
        tensors = {f"model.{name}": value for name, value in self._weights(self.network.state_dict()).items()}
        tensors |= {f"ema.{name}": value for name, value in self._weights(self.ema).items()}
        for which, optimiser in enumerate(self.optimisers):
            for i, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{which}.{i}.{key}": value for key, value in state.items()}
        save_state(self.folder, tensors, self.seen, self.seconds)
        mean = small_llama(self.settings.width, self.settings.layers, self.tokenizer)
        mean.load_state_dict(self.ema)
        with quiet():
            mean.half().save_pretrained(self.folder)
            self.tokenizer.save_pretrained(self.folder)
        (self.folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER, indent=1) + "\n")

    def _weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Without the layer that is the embedding once more."""
        return {name: value for name, value in state.items() if name != "lm_head.weight"}

    def _load(self) -> tuple[int, float]:
        if not (self.folder / STATE).exists():
            return 0, 0.0
        tensors = load_file(self.folder / STATE, device=self.settings.device)
        tied = "model.embed_tokens.weight"
        for part, take in (("model", self.network.load_state_dict), ("ema", self.ema.update)):
            found = {k[len(part) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{part}.")}
            take({**found, "lm_head.weight": found[tied]} if part == "model" else found)
        self.ema["lm_head.weight"] = self.ema[tied].clone()
        for which, optimiser in enumerate(self.optimisers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimiser.{which}."):
                    _, _, i, key = name.split(".")
                    state.setdefault(int(i), {})[key] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        return progress_of(self.folder)


def learning_rate(settings: LanguagePretraining, seen: int) -> float:
    """The rate after ``seen`` tokens: warm-up, steady, then linear to zero at the end of the budget."""
    rise = min(1.0, (seen / settings.each + 1) / settings.warmup)
    fall = min(1.0, max(0.0, 1 - seen / settings.tokens) / (1 - STEADY_SHARE))
    return settings.rate * rise * fall
