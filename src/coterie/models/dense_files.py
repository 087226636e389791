"""Changes of whole weights as folders: the two file names of PEFT's layout, which itself knows nothing of them.

``adapter_model.safetensors`` holds one tensor for each weight, under its name: the change, in float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from coterie.core.adapter import Adapter, Dense, Layout, build
from coterie.core.errors import UserError

KIND = "change of whole weights"


def dense_files(adapter: Adapter) -> dict[str, bytes]:
    """The two files of an adapter without low-rank parts, by name."""
    parts = adapter.layout.parts
    tensors = {part.name: adapter.dense(index).contiguous().clone() for index, part in enumerate(parts)}
    meta = {
        "format": "pt",
        "backbone": adapter.layout.backbone,
        "adapter": adapter.digest,
        "order": json.dumps([part.name for part in parts]),
    }
    config = {"peft_type": None, "coterie": KIND}
    return {
        "adapter_config.json": json.dumps(config, indent=1).encode(),
        "adapter_model.safetensors": save(tensors, metadata=meta),
    }


def is_dense(config: Any) -> bool:
    """Whether a folder's settings say that it holds such an adapter."""
    return isinstance(config, Mapping) and config.get("coterie") == KIND


def read_dense(path: Any, tensors: Mapping[str, Tensor], order: Mapping[str, int], backbone: str) -> Adapter:
    """An adapter from the tensors of its file.

    Raises:
        UserError: if a tensor is missing, is no number or not finite.
    """
    names = sorted(tensors, key=lambda name: order.get(name, len(order)))
    for name in names:
        if name not in order or not tensors[name].is_floating_point() or not torch.isfinite(tensors[name]).all():
            raise UserError(f"{path}: {name[:100]!r}: it is not in the order of weights, or a number is not finite")
    if len(names) < len(order):
        raise UserError(f"{path}: {len(order) - len(names)} of {len(order)} weights are missing")
    parts = tuple(Dense(name, tuple(tensors[name].shape)) for name in names)
    return build(Layout(backbone, parts), [tensors[name].float() for name in names])
