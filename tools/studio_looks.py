"""The studio's looks: a flat drawing of 64 pixels on white becomes a neon sign or a blueprint, as values 0 to 1."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def blur(values: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(values, (sigma, sigma, 0) if values.ndim == 3 else sigma)


def object_mask(rgb: np.ndarray) -> np.ndarray:
    """Where the drawing is: all but the white that touches the border."""
    labels, _ = ndimage.label(rgb.min(-1) >= 244)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return ~np.isin(labels, border[border > 0])


def contours(rgb: np.ndarray, weak: float, strong: float, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """Ridges of the colour gradient, a pixel wide, and its size: Canny, 1986, on the strongest channel."""
    smooth = blur(rgb / 255.0, 0.7)
    across, down = ndimage.sobel(smooth, axis=1), ndimage.sobel(smooth, axis=0)
    size = np.hypot(across, down)
    channel = size.argmax(-1)[..., None]
    across, down, size = (np.take_along_axis(v, channel, -1)[..., 0] for v in (across, down, size))
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    unit = np.maximum(size, 1e-6)
    before = ndimage.map_coordinates(size, [y - down / unit, x - across / unit], order=1)
    after = ndimage.map_coordinates(size, [y + down / unit, x + across / unit], order=1)
    ridge = (size >= after) & (size > before) & (size > weak)
    labels, count = ndimage.label(ridge, np.ones((3, 3)))
    ids = np.arange(1, count + 1)
    keep = (ndimage.maximum(size, labels, ids) > strong) & (ndimage.sum(ridge, labels, ids) >= shortest)
    return np.isin(labels, ids[keep]).astype(float), size


def neon(rgb: np.ndarray) -> np.ndarray:
    """Tubes along the contours, each in the purest form of the colour it bounds, with their light on a dark wall."""
    flat, mask = rgb / 255.0, object_mask(rgb)
    weight = mask * (0.02 + flat.max(-1) - flat.min(-1))  # saturated parts decide, white and grey ones hardly
    local = blur(flat * weight[..., None], 2.0) / np.maximum(blur(weight, 2.0), 1e-6)[..., None]
    low, high = local.min(-1, keepdims=True), local.max(-1, keepdims=True)
    pure = (local - low) / np.maximum(high - low, 1e-6)
    plain = np.where(high > 0.55, [0.35, 0.85, 1.0], [0.95, 0.25, 1.0])  # ice blue for light greys, violet for dark
    tint = np.clip(((high - low) / np.maximum(high, 1e-6) - 0.12) * 5, 0, 1)
    light = 0.1 + 0.9 * (pure * tint + plain * (1 - tint))
    line, _ = contours(rgb, 0.5, 0.9, 7)
    tube = np.clip(2.3 * blur(line, 0.75), 0, 1)[..., None] * light
    core = np.clip(1.6 * blur(line, 0.5), 0, 1)[..., None]
    return np.array([0.035, 0.02, 0.075]) + blur(tube, 1.8) + 0.75 * blur(tube, 5.0) + 0.95 * tube + 0.28 * core


def blueprint(rgb: np.ndarray) -> np.ndarray:
    """White contours, fainter where the colours differ less, on blue paper with a grid of eight pixels."""
    line, size = contours(rgb, 0.28, 0.5, 6)
    ink = np.clip(2.6 * blur(np.clip(size * 0.6, 0.55, 1) * line, 0.6), 0, 1)[..., None]
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    grid = ((x % 16 < 2) | (y % 16 < 2))[..., None]
    paper = np.array([0.075, 0.25, 0.57]) + 0.055 * grid + 0.04 * object_mask(rgb)[..., None]
    return paper * (1 - ink) + np.array([0.96, 0.98, 1.0]) * ink


LOOKS = {"contrast": lambda rgb: rgb / 255.0, "neon": neon, "blueprint": blueprint}
