"""A small convolutional classifier: whether what was drawn can be told for what was asked.

It learns from real pictures only, never from generated ones, and its own accuracy on real held-out pictures always
stands beside what it says about drawings. Two come with the package, as judges (``judges/CARD.md``): ``style`` and
``subject``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from coterie.core.errors import UserError, nearest
from coterie.core.mixed import mixed

Pixels = NDArray[np.uint8]
JUDGES = ("style", "subject")
BATCH = 128


@dataclass(frozen=True)
class Lessons:
    """How a classifier learns.

    Attributes:
        epochs: times it sees each picture.
        rate: peak learning rate of AdamW; it rises once and falls once.
        decay: AdamW's weight decay.
        width: channels of the first stage; the next have two and three times as many.
        warp: also turn, stretch and recolour pictures. Not where the look itself is the question.
        mix: share of batches in which each picture is mixed with another, and its label likewise.
        average: decay of the running mean of the weights, which is what is kept.
        members: networks that learn one after the other and judge together, by the mean of their logits.
    """

    epochs: int = 30
    rate: float = 3e-3
    decay: float = 0.05
    width: int = 44
    warp: bool = True
    mix: float = 0.0
    average: float = 0.998
    members: int = 1


class Classifier:
    """A trained network and what it tells apart.

    Args:
        network: gives ``(n, parts)`` logits for pictures ``(n, 3, side, side)`` in -1 to 1.
        parts: what the network tells apart, in order. ``class/part`` is one part of a class, and the probabilities of
            a class's parts are added; a name without a slash is a class of its own.
    """

    def __init__(self, network: nn.Module, parts: Sequence[str]) -> None:
        self.network, self.parts = network.eval(), tuple(parts)
        self.classes = tuple(sorted({_class_of(part) for part in parts}))
        self._sums = _sums(self.parts, self.classes)

    @torch.no_grad()
    def probabilities(self, pictures: Pixels) -> NDArray[np.float64]:
        """For pictures ``(n, side, side, 3)``: ``(n, classes)``, averaged over each picture and its mirror image."""
        x = _tensor(pictures)
        parts = [(self.network(b).softmax(1) + self.network(b.flip(-1)).softmax(1)) / 2 for b in torch.split(x, 256)]
        out: NDArray[np.float64] = (torch.cat(parts) @ self._sums).double().numpy()
        return out

    def names(self, pictures: Pixels) -> list[str]:
        """The likeliest class of each of the pictures ``(n, side, side, 3)``."""
        return [self.classes[i] for i in self.probabilities(pictures).argmax(1)]

    @torch.no_grad()
    def features(self, pictures: Pixels) -> NDArray[np.float64]:
        """What the first network's last stage says of pictures ``(n, side, side, 3)``: ``(n, 3 * width)``."""
        first: Any = self.network
        body = first.members[0][:-2]  # without dropout and the last, linear layer
        out: NDArray[np.float64] = torch.cat([body(b) for b in torch.split(_tensor(pictures), 256)]).double().numpy()
        return out

    def accuracy(self, pictures: Pixels, labels: Sequence[str]) -> float:
        """Share of pictures whose likeliest class is the label."""
        return float(np.mean([name == label for name, label in zip(self.names(pictures), labels, strict=True)]))

    def save(self, path: Path) -> None:
        """Weights in float16, and the parts' names, as one safetensors file."""
        from safetensors.torch import save_file

        weights = {
            name: (value.half() if value.is_floating_point() else value).contiguous()
            for name, value in self.network.state_dict().items()
        }

        save_file(weights, path, {"parts": json.dumps(self.parts)})


def load_classifier(path: Path) -> Classifier:
    """What ``Classifier.save`` wrote, in float32."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"{path}: no such file; wanted a classifier's weights, as tools/make_judges.py writes them")
    with safe_open(path, "pt") as opened:
        about = opened.metadata()
    weights = load_file(path)
    parts = json.loads(about["parts"])
    stems = [len(value) for name, value in weights.items() if name.endswith(".0.weight") and name.count(".") == 3]
    network = _Together([_network(len(parts), 2 * channels) for channels in stems])
    network.load_state_dict(weights)
    return Classifier(network, parts)


@cache
def load_judge(name: str) -> Classifier:
    """One of the package's own: ``style`` (a look of the studio, or other) or ``subject`` (eight groups of emoji)."""
    if name not in JUDGES:
        raise UserError(f"no judge called {name!r}{nearest(name, JUDGES)}")
    return load_classifier(Path(str(files("coterie.evals"))) / "judges" / f"{name}.safetensors")


def train_classifier(
    pictures: Pixels,
    labels: Sequence[str],
    seed: int,
    lessons: Lessons | None = None,
    tell: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Classifier:
    """Learns labels, each ``class`` or ``class/part``, of pictures ``(n, side, side, 3)``.

    Where there are parts it learns both to tell the parts apart and to tell the classes apart: parts that look alike
    within are easier to learn than a class of many kinds of things.
    """
    lessons = lessons or Lessons()
    parts = sorted(set(labels))
    classes = sorted({_class_of(part) for part in parts})
    sums = _sums(parts, classes)
    targets = F.one_hot(torch.tensor([parts.index(label) for label in labels]), len(parts)).float()
    x = _tensor(pictures).contiguous(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        members = [_learned(x, targets, sums, lessons, generator, tell) for _ in range(lessons.members)]
    return Classifier(_Together(members), parts)


def _learned(
    x: Tensor,
    targets: Tensor,
    sums: Tensor,
    lessons: Lessons,
    generator: torch.Generator,
    tell: Callable[[int, float], None],
) -> nn.Module:
    """One network that learned pictures ``x`` with ``targets (n, parts)``: the running mean of its weights."""
    network = _network(targets.shape[1], lessons.width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kept = deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lessons.rate, weight_decay=lessons.decay, fused=True)
    steps = lessons.epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lessons.rate, total_steps=steps)
    step = 0
    for epoch in range(lessons.epochs):
        total = 0.0
        for rows in torch.split(torch.randperm(len(x), generator=generator), BATCH):
            shown = _warped(x[rows], generator) if lessons.warp else x[rows]
            shown, wanted = _mixed(_moved(shown, generator), targets[rows], lessons.mix, generator)
            with mixed("cpu"):
                out = network(shown).float()
            loss = _loss(out, wanted, sums)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            step += 1
            _blend(kept, network, min(lessons.average, step / (step + 10)))
            total += float(loss.detach()) * len(rows)
        tell(epoch + 1, total / len(x))
    plain: nn.Module = kept.to(memory_format=torch.contiguous_format)
    return plain


def _class_of(part: str) -> str:
    return part.split("/")[0]


def _sums(parts: Sequence[str], classes: Sequence[str]) -> Tensor:
    """``(parts, classes)``: one where the part belongs to the class."""
    return torch.tensor([[float(_class_of(part) == name) for name in classes] for part in parts])


def _loss(out: Tensor, wanted: Tensor, sums: Tensor) -> Tensor:
    """Cross-entropy of the parts and of the classes, labels a tenth uniform; ``out``, ``wanted (n, parts)``."""
    log = out.log_softmax(1)
    on_parts = -(log * (0.9 * wanted + 0.1 / wanted.shape[1])).sum(1).mean()
    if sums.shape[0] == sums.shape[1]:
        return on_parts
    log = (log.exp() @ sums).clamp(min=1e-7).log()
    return on_parts / 2 - (log * (0.9 * (wanted @ sums) + 0.1 / sums.shape[1])).sum(1).mean()


@torch.no_grad()
def _blend(kept: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves ``kept`` towards ``network``, running statistics included."""
    for mean, value in zip(kept.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)


class _Together(nn.Module):
    """Networks whose logits are averaged."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels, 1),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _network(num_parts: int, width: int) -> nn.Module:
    """Full size, then a half, a quarter and an eighth of it, with a residual block at each of these."""
    return nn.Sequential(
        *_convolution(3, width // 2, 1),
        *_convolution(width // 2, width, 2), _Residual(width),
        *_convolution(width, 2 * width, 2), _Residual(2 * width),
        *_convolution(2 * width, 3 * width, 2), _Residual(3 * width),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(3 * width, num_parts),
    )  # fmt: skip


def _moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture mirrored or not and moved by up to three pixels, its border drawn out."""
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    padded = F.pad(x, (3, 3, 3, 3), mode="replicate")
    shifts = torch.randint(0, 7, (len(x), 2), generator=generator)
    at = torch.arange(x.shape[-1])
    rows, columns = shifts[:, :1] + at, shifts[:, 1:] + at
    return padded[torch.arange(len(x))[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _warped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture turned, stretched and sheared a little, its colours mixed, a square of it covered."""
    n, side = len(x), x.shape[-1]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    turn, shear = uniform(-0.3, 0.3), uniform(-0.15, 0.15)
    wide, high = uniform(0.8, 1.25), uniform(0.8, 1.25)
    cos, sin = turn.cos(), turn.sin()
    nothing = torch.zeros(n)
    across = torch.stack([cos * wide, (shear - sin) * wide, nothing], 1)
    down = torch.stack([sin * high, cos * high, nothing], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), [n, 3, side, side], align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    change = torch.eye(3) + 0.2 * torch.randn(n, 3, 3, generator=generator) * (uniform(0, 1, 1, 1) < 0.6)
    x = torch.einsum("nij,njhw->nihw", change, x).clamp(-1, 1)
    grey = x.mean(1, keepdim=True)
    x = torch.where(uniform(0, 1, 1, 1, 1) < 0.1, grey, x)
    middle, half = uniform(0, side, 2, 1), uniform(2, 6, 1)
    at = torch.arange(side)
    inside = (at - middle).abs() < half[:, None]
    covered = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None] & (uniform(0, 1, 1, 1, 1) < 0.3)
    return torch.where(covered, uniform(-1, 1, 3, 1, 1), x)


def _mixed(x: Tensor, wanted: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """In a ``share`` of batches each picture is laid over another one, and their labels in the same measure."""
    if float(torch.rand((), generator=generator)) >= share:
        return x, wanted
    much = 0.5 + torch.rand(len(x), 1, generator=generator) / 2
    other = torch.randperm(len(x), generator=generator)
    pixels = much[..., None, None]
    return pixels * x + (1 - pixels) * x[other], much * wanted + (1 - much) * wanted[other]


def _tensor(pictures: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pictures)).movedim(-1, 1).float() / 127.5 - 1
