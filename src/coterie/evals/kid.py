"""Kernel distance between two sets of pictures, and how unlike each other the pictures of one set are.

Both are measured in the features of a network, which the caller names: the numbers of two networks cannot be compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]


def kernel_distance(one: Features, other: Features) -> float:
    """Squared maximum mean discrepancy with the kernel ``(x . y / d + 1)^3``, unbiased, so it may fall below zero.

    Args:
        one: ``(n, d)`` with at least two rows; the number of rows need not be that of ``other``.
        other: ``(m, d)``.

    Raises:
        ValueError: if there are fewer than two rows, or the widths differ.

    Source: Binkowski et al., ICLR 2018, arXiv:1801.01401 (KID, there in Inception's features).
    """
    if min(len(one), len(other)) < 2 or one.shape[1:] != other.shape[1:]:
        raise ValueError(f"wanted features (n, d) and (m, d), n and m at least 2; got {one.shape} and {other.shape}")

    def kernel(a: Features, b: Features) -> Features:
        product: Features = (a @ b.T / a.shape[1] + 1) ** 3
        return product

    def among(a: Features) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    return among(one) + among(other) - 2 * float(kernel(one, other).mean())


def spread(features: Features) -> float:
    """Mean cosine distance between two different pictures ``(n, d)``; 0 if all are alike.

    Raises:
        ValueError: if there are fewer than two.
    """
    if len(features) < 2:
        raise ValueError(f"wanted at least two pictures, got {len(features)}")
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    n = len(unit)
    return float(1 - ((unit @ unit.T).sum() - n) / (n * (n - 1)))
