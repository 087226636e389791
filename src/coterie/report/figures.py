"""The map of wishes: cosine distances on paper, marks and labels that do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

SHAPES = ("circle", "square", "triangle", "diamond", "cross", "star", "hexagon", "pentagon")
WIDTH, HEIGHT = 460, 400
MARGIN_X, MARGIN_Y = 54, 34
NEAREST = 20.0  # between the middles of two marks
LETTER = 7.6  # width of one, about
RADII = (12.0, 18.0, 30.0, 46.0, 64.0, 84.0)  # of labels around their mark; from the third on with a line to it
ANGLES = tuple(math.pi * k / 8 for k in (0, 8, 4, 12, 1, -1, 7, 9, 2, -2, 6, 10, 3, 5, 11, 13))

Points = NDArray[np.float64]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """A person on the map, in the drawing's units, with the place of the label and of its cluster's middle."""

    name: str
    cluster: int
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str
    middle_x: float
    middle_y: float

    @property
    def far(self) -> bool:
        """Whether the label is so far away that a line must say whose it is."""
        return math.hypot(self.label_x - self.x, self.label_y - 4.5 - self.y) > RADII[1] * 1.3


@dataclass(frozen=True)
class WishMap:
    """Marks, and the share of all spread between wishes that two dimensions can show."""

    marks: tuple[Mark, ...]
    shown: float


def wish_map(wishes: Mapping[str, Sequence[float]], cluster_of: Mapping[str, int]) -> WishMap:
    """Places people so that distances on paper follow the cosine distances of their encoded wishes.

    Both axes have one scale. Marks that would lie on each other are moved apart, labels find a free place.
    """
    names = sorted(wishes)
    unit = np.array([wishes[name] for name in names], dtype=np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    flat, shown = scaled(np.clip(1 - unit @ unit.T, 0, 2))
    points = _apart(_on_paper(flat))
    taken: list[Box] = [(x - 9, y - 9, x + 9, y + 9) for x, y in points.tolist()]
    groups = [cluster_of.get(name, 0) for name in names]
    middles = {g: points[[i for i, k in enumerate(groups) if k == g]].mean(0) for g in set(groups)}
    marks = []
    for i in np.argsort(points[:, 1], kind="stable").tolist():
        x, y = points[i].tolist()
        label_x, label_y, anchor = _label(names[i], x, y, taken)
        middle = middles[groups[i]].tolist()
        marks.append(Mark(names[i], groups[i], x, y, label_x, label_y, anchor, middle[0], middle[1]))
    return WishMap(tuple(sorted(marks, key=lambda m: m.name)), shown)


def scaled(distance: Points) -> tuple[Points, float]:
    """Classical scaling of distances ``(n, n)`` to ``(n, 2)``, and the share of the spread that is kept.

    Signs are fixed (the largest coordinate of each axis is positive), so the same distances give the same picture.
    Source: Torgerson, Psychometrika, 1952.
    """
    n = len(distance)
    centring = np.eye(n) - 1 / n
    values, axes = np.linalg.eigh(-0.5 * centring @ distance**2 @ centring)
    values, axes = values[::-1], axes[:, ::-1]
    positive = np.clip(values, 0, None)
    points: Points = np.zeros((n, 2))
    points[:, : min(2, n)] = axes[:, :2] * np.sqrt(positive[:2])
    largest = points[np.abs(points).argmax(0), np.arange(2)]
    points *= np.where(largest < 0, -1.0, 1.0)
    total = float(positive.sum())
    return points, float(positive[:2].sum()) / total if total > 0 else 1.0


def _on_paper(points: Points) -> Points:
    """Centred in the drawing, with one scale for both axes."""
    low, high = points.min(0), points.max(0)
    room = np.array([WIDTH - 2 * MARGIN_X, HEIGHT - 2 * MARGIN_Y])
    span = np.maximum(high - low, 1e-9)
    scale = float((room / span).min())
    placed: Points = (points - (low + high) / 2) * (min(scale, 1e6) * np.array([1.0, -1.0]))
    placed += np.array([WIDTH / 2, HEIGHT / 2])
    return placed


def _apart(points: Points) -> Points:
    """Moves marks until no two are nearer than ``NEAREST``, as far as two hundred small pushes get."""
    order = np.arange(len(points))
    turn = np.stack([np.cos(order * 2.4), np.sin(order * 2.4)], 1)  # marks in one place leave it in all directions
    for _ in range(200):
        difference = points[:, None] - points[None]
        distance = np.sqrt((difference**2).sum(-1))
        np.fill_diagonal(distance, np.inf)
        close = distance < NEAREST
        if not close.any():
            break
        push = np.where(close[..., None], difference / np.maximum(distance, 1e-6)[..., None], 0.0).sum(1)
        push += turn * (distance < 1e-3).any(1)[:, None]
        points = points + push
        points[:, 0] = points[:, 0].clip(MARGIN_X / 2, WIDTH - MARGIN_X / 2)
        points[:, 1] = points[:, 1].clip(MARGIN_Y / 2, HEIGHT - MARGIN_Y / 2)
    return points


def _label(name: str, x: float, y: float, taken: list[Box]) -> tuple[float, float, str]:
    """The nearest free place around a mark, or the least covered one; it is then taken."""
    width = LETTER * min(len(name), 24)
    best, best_box, least = (x + 12, y + 4.5, "start"), (0.0, 0.0, 0.0, 0.0), float("inf")
    for radius, angle in product(RADII, ANGLES):
        across, down = radius * math.cos(angle), radius * math.sin(angle)
        anchor = "middle" if abs(across) < radius / 3 else "start" if across > 0 else "end"
        place = (x + across, y + 4.5 + down * (1.15 if anchor == "middle" else 1), anchor)
        box = _box(place, width)
        outside = box[0] < 2 or box[2] > WIDTH - 2 or box[1] < 2 or box[3] > HEIGHT - 2
        cost = sum(_overlap(box, other) for other in taken) + 1e4 * outside
        if cost < least:
            best, best_box, least = place, box, cost
        if not cost:
            break
    taken.append(best_box)
    return best


def _box(place: tuple[float, float, str], width: float) -> Box:
    x, y, anchor = place
    left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
    return left, y - 12, left + width, y + 4


def _overlap(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)
