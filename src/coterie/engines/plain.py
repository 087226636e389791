"""Local training, what came of it, and messages as plain values, for pipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from coterie.core.work import Fit, Fitted


def fit_as_plain(fit: Fit) -> dict[str, Any]:
    return {f.name: getattr(fit, f.name) for f in fields(fit)}


def fit_from_plain(plain: Mapping[str, Any]) -> Fit:
    return Fit(**{**plain, "levels": tuple(plain["levels"])})


def told_of(done: Fitted) -> dict[str, Any]:
    """All but the adapter."""
    return {"num_examples": done.num_examples, "numbers": dict(done.numbers), "travel": done.travel}


def as_tensor(blob: bytes) -> Tensor:
    return torch.frombuffer(bytearray(blob), dtype=torch.uint8)


def as_bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()
