"""Does a person's adapter draw their own training pictures again?

A generated picture counts as a copy if it is nearer to a training picture than every held-out picture of the same
person is. If generated pictures were just further pictures of the person, about one in ``held-out + 1`` would be.
Distance: root mean square over pixels after a small blur, so that a shift by a pixel does not hide a copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.uint8]


def nearest_distance(pictures: Pixels, training: Pixels) -> NDArray[np.float64]:
    """Distance of each picture ``(n, h, w, 3)`` to the nearest training picture, in units of 0 to 255."""
    a, b = _blurred(pictures), _blurred(training)
    distances: NDArray[np.float64] = np.sqrt(((a[:, None] - b[None]) ** 2).mean(-1)).min(1)
    return distances


def copies(generated: Pixels, held_out: Pixels, training: Pixels) -> tuple[int, float]:
    """How many generated pictures count as copies, and the share expected of pictures that are none.

    With no held-out picture nothing can be said: the count is 0 and the share nan.
    """
    if not len(held_out) or not len(generated):
        return 0, float("nan")
    line = nearest_distance(held_out, training).min()
    return int((nearest_distance(generated, training) < line).sum()), 1 / (len(held_out) + 1)


def _blurred(pictures: Pixels) -> NDArray[np.float64]:
    smooth = ndimage.gaussian_filter(pictures.astype(np.float64), sigma=(0, 1, 1, 0))
    flat: NDArray[np.float64] = smooth.reshape(len(pictures), -1)
    return flat
