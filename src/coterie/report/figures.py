"""Drawings for the page: strips of pictures, marks of clusters, and the map of wishes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coterie.report.read import Pixels

GAP = 2  # pixels between pictures of a strip, see-through
SHAPES = ("circle", "square", "triangle", "diamond", "hexagon", "star", "cross", "pentagon")
WIDTH, HEIGHT, MARGIN = 560, 400, 62


def strip(pictures: Sequence[Pixels]) -> dict[str, str | int]:
    """Pictures side by side as one lossless WebP in a data URL, with its size in pixels."""
    side = pictures[0].shape[0]
    page = np.zeros((side, len(pictures) * (side + GAP) - GAP, 4), np.uint8)
    for i, picture in enumerate(pictures):
        page[:, i * (side + GAP) : i * (side + GAP) + side] = np.dstack([picture, np.full((side, side), 255, np.uint8)])
    out = io.BytesIO()
    Image.fromarray(page).save(out, "WEBP", lossless=True, quality=90, method=4)
    url = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
    return {"url": url, "width": page.shape[1], "height": page.shape[0], "count": len(pictures)}


@dataclass(frozen=True)
class Mark:
    """A person on the map, in SVG units; ``cluster`` counts from 0 and chooses shape and colour."""

    name: str
    cluster: int
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str


def wish_map(wishes: Mapping[str, Sequence[float]], cluster_of: Mapping[str, int]) -> list[Mark]:
    """Classical scaling of cosine distances to two dimensions, with labels moved apart.

    Signs are fixed (the largest coordinate of each axis is positive), so that the same wishes give the same map.
    Source: Torgerson, Psychometrika, 1952.
    """
    names = sorted(wishes)
    vectors = np.array([wishes[name] for name in names])
    squared = np.clip(1 - vectors @ vectors.T, 0, 2) ** 2
    centring = np.eye(len(names)) - 1 / len(names)
    values, axes = np.linalg.eigh(-0.5 * centring @ squared @ centring)
    points: NDArray[np.float64] = axes[:, ::-1][:, :2] * np.sqrt(np.clip(values[::-1][:2], 0, None))
    points *= np.sign(points[np.abs(points).argmax(0), range(points.shape[1])])
    low, span = points.min(0), np.ptp(points, axis=0)
    points = (points - low) / np.where(span > 0, span, 1)
    x = MARGIN + points[:, 0] * (WIDTH - 2 * MARGIN)
    y = HEIGHT - 40 - points[:, 1] * (HEIGHT - 80)
    x, y = _apart(x, y)
    taken: list[tuple[float, float, float, float]] = [(a - 9, b - 9, a + 9, b + 9) for a, b in zip(x, y, strict=True)]
    marks = []
    for i in np.argsort(y).tolist():
        label_x, label_y, anchor = _label(names[i], float(x[i]), float(y[i]), taken)
        marks.append(Mark(names[i], cluster_of.get(names[i], 0), float(x[i]), float(y[i]), label_x, label_y, anchor))
    return marks


def _apart(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Moves marks that lie on each other until none is nearer than a mark's size."""
    points = np.stack([x, y], 1)
    for _ in range(200):
        difference = points[:, None] - points[None]
        distance = np.sqrt((difference**2).sum(-1)) + np.eye(len(points)) * 1e3
        if distance.min() >= 20:
            break
        push = np.where((distance < 20)[..., None], difference / np.maximum(distance, 1e-6)[..., None], 0)
        order = np.arange(len(points))
        same = np.where(distance < 1e-3, np.sign(order[:, None] - order[None]), 0)[..., None] * np.array([1.0, 0.3])
        points = points + 1.5 * (push + same).sum(1)
        points[:, 0] = points[:, 0].clip(MARGIN / 2, WIDTH - MARGIN / 2)
        points[:, 1] = points[:, 1].clip(14, HEIGHT - 14)
    return points[:, 0], points[:, 1]


def _label(name: str, x: float, y: float, taken: list[tuple[float, float, float, float]]) -> tuple[float, float, str]:
    """The first free place beside, above or below a mark; it is then taken."""
    width = 7.4 * len(name)
    places = [
        (x + 13, y + 4.5, "start"), (x - 13, y + 4.5, "end"), (x, y - 13, "middle"), (x, y + 22, "middle"),
        (x + 13, y - 9, "start"), (x - 13, y - 9, "end"), (x + 13, y + 18, "start"), (x - 13, y + 18, "end"),
    ]  # fmt: skip
    best, least = places[0], float("inf")
    for place in places:
        left = {"start": place[0], "end": place[0] - width, "middle": place[0] - width / 2}[place[2]]
        box = (left, place[1] - 12, left + width, place[1] + 3)
        overlap = sum(
            max(0.0, min(box[2], o[2]) - max(box[0], o[0])) * max(0.0, min(box[3], o[3]) - max(box[1], o[1]))
            for o in taken
        )
        overlap += 1e4 * (box[0] < 0 or box[2] > WIDTH or box[1] < 0 or box[3] > HEIGHT)
        if overlap < least:
            best, least, best_box = place, overlap, box
        if not overlap:
            break
    taken.append(best_box)
    return best
