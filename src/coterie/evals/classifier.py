"""A small convolutional classifier: whether what was drawn can be told for what was asked.

It learns from real pictures only, never from generated ones, and its own accuracy on real held-out pictures always
stands beside what it says about drawings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

Pixels = NDArray[np.uint8]


class Classifier:
    """A trained network and the names of its classes, in order."""

    def __init__(self, network: nn.Module, classes: Sequence[str]) -> None:
        self.network, self.classes = network.eval(), tuple(classes)

    @torch.no_grad()
    def probabilities(self, pictures: Pixels) -> NDArray[np.float64]:
        """For pictures ``(n, side, side, 3)``: ``(n, classes)``, averaged over each picture and its mirror image."""
        x = _tensor(pictures)
        parts = [(self.network(b).softmax(1) + self.network(b.flip(-1)).softmax(1)) / 2 for b in torch.split(x, 256)]
        out: NDArray[np.float64] = torch.cat(parts).double().numpy()
        return out

    def accuracy(self, pictures: Pixels, labels: Sequence[str]) -> float:
        """Share of pictures whose likeliest class is the label."""
        likeliest = self.probabilities(pictures).argmax(1)
        return float(np.mean([self.classes[i] == label for i, label in zip(likeliest, labels, strict=True)]))


def train_classifier(
    pictures: Pixels,
    labels: Sequence[str],
    seed: int,
    epochs: int = 24,
    tell: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Classifier:
    """Learns classes of pictures ``(n, side, side, 3)``; mirrored, moved and cut at random while it learns."""
    classes = sorted(set(labels))
    targets = torch.tensor([classes.index(label) for label in labels])
    x = _tensor(pictures)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(len(classes))
        optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05, fused=True)
        steps = epochs * -(-len(x) // 128)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
        for epoch in range(epochs):
            total = 0.0
            for rows in torch.split(torch.randperm(len(x), generator=generator), 128):
                out = network(_changed(x[rows], generator))
                loss = F.cross_entropy(out, targets[rows], label_smoothing=0.1)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * len(rows)
            tell(epoch + 1, total / len(x))
    return Classifier(network, classes)


def _network(num_classes: int) -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        norm = nn.GroupNorm(8, outputs)
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm, nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(3, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), *block(64, 64), nn.MaxPool2d(2),
        *block(64, 128), *block(128, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(128, num_classes),
    )  # fmt: skip


def _changed(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture mirrored or not and moved by up to three pixels, white coming in."""
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    padded = F.pad(x, (3, 3, 3, 3), value=1.0)
    shifts = torch.randint(0, 7, (len(x), 2), generator=generator).tolist()
    side = x.shape[-1]
    return torch.stack([p[:, i : i + side, j : j + side] for p, (i, j) in zip(padded, shifts, strict=True)])


def _tensor(pictures: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pictures)).movedim(-1, 1).float() / 127.5 - 1
