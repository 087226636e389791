"""A name for a frozen network, made of its settings and weights: what adapters are bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def digest_of(
    network: nn.Module,
    dtype: torch.dtype = torch.float16,
    most: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> str:
    """Twelve hexadecimal digits of a network's configuration and weights.

    Args:
        network: of diffusers, or any with ``config``.
        dtype: two bytes wide; weights are rounded to it first.
        most: numbers read of each tensor, evenly spread; None reads all.
        config: all that counts beside the weights; None is the network's own configuration.
    """
    if config is None:
        settings: Any = network.config
        config = {k: v for k, v in dict(settings).items() if not k.startswith("_")}
    sha = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode())
        flat = value.detach().flatten()
        some = flat if most is None else flat[:: max(1, len(flat) // most)]
        sha.update(some.to(dtype).contiguous().view(torch.int16).numpy().tobytes())
    return sha.hexdigest()[:12]
