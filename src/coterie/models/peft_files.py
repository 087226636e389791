"""Adapters as folders in PEFT's layout: ``adapter_config.json`` beside ``adapter_model.safetensors``.

PEFT, diffusers and everything built on them read these files. The file's metadata hold the digests of backbone and
adapter and the order of the layers, and nothing else: no name, no prompt, no path.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.core.errors import UserError

_PREFIX = "base_model.model."


def peft_files(adapter: Adapter) -> dict[str, bytes]:
    """The two files of an adapter, by name."""
    tensors = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for index, part in enumerate(adapter.layout.parts):
        if not isinstance(part, LowRank):
            raise UserError(f"{part.name}: a dense part cannot be written in PEFT's layout")
        b, a = adapter.factors(index)
        if part.kernel:
            a = a.reshape(part.rank, -1, *part.kernel)
            b = b.reshape(part.out, part.rank, 1, 1)
        tensors[f"{_PREFIX}{part.name}.lora_A.weight"] = a.contiguous().clone()
        tensors[f"{_PREFIX}{part.name}.lora_B.weight"] = b.contiguous().clone()
        ranks[part.name], alphas[part.name] = part.rank, part.scale * part.rank
    rank, alpha = max(ranks.values()), alphas[max(ranks, key=lambda name: ranks[name])]
    config: dict[str, Any] = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": None, "inference_mode": True,
        "r": rank, "lora_alpha": alpha, "lora_dropout": 0.0, "bias": "none", "target_modules": sorted(ranks),
        "rank_pattern": {name: r for name, r in ranks.items() if r != rank},
        "alpha_pattern": {name: v for name, v in alphas.items() if v != alpha},
    }  # fmt: skip
    meta = {
        "format": "pt",
        "backbone": adapter.layout.backbone,
        "adapter": adapter.digest,
        "order": json.dumps([part.name for part in adapter.layout.parts]),
    }
    return {
        "adapter_config.json": json.dumps(config, indent=1).encode(),
        "adapter_model.safetensors": save(tensors, metadata=meta),
    }


def read_peft(folder: Path, backbone: str | None = None) -> Adapter:
    """An adapter from its folder.

    Args:
        folder: with the two files.
        backbone: digest that the adapter must belong to; None takes any.

    Raises:
        UserError: if a file is missing or cannot be read, or the adapter belongs to another backbone.
    """
    path = folder / "adapter_model.safetensors"
    if folder.is_file():
        raise UserError(f"{folder}: this is a file; wanted a folder with adapter_config.json and {path.name}")
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no adapter is here; wanted adapter_config.json and {path.name}") from error
    except (SafetensorError, ValueError, OSError) as error:
        raise UserError(f"{path}: not an adapter that can be read: {error}") from error
    if backbone is not None and meta.get("backbone") != backbone:
        raise UserError(
            f"{path}: the adapter belongs to another backbone: its digest is {meta.get('backbone')}, wanted {backbone}"
        )
    parts, pieces = [], []
    names = [key[len(_PREFIX) : -len(".lora_A.weight")] for key in tensors if key.endswith(".lora_A.weight")]
    order = {name: i for i, name in enumerate(json.loads(meta.get("order", "[]")))}
    for name in sorted(names, key=lambda n: order.get(n, len(order))):
        a, b = tensors[f"{_PREFIX}{name}.lora_A.weight"], tensors.get(f"{_PREFIX}{name}.lora_B.weight")
        if b is None or not torch.isfinite(a).all() or not torch.isfinite(b).all():
            raise UserError(f"{path}: {name}: lora_B is missing or a number is not finite")
        alpha = config.get("alpha_pattern", {}).get(name, config["lora_alpha"])
        kernel = tuple(a.shape[2:])
        rank = a.shape[0]
        parts.append(LowRank(name, b.shape[0], a[0].numel(), rank, alpha / rank, kernel))
        pieces.append((b.reshape(b.shape[0], rank).float(), a.reshape(rank, -1).float()))
    return build(Layout(str(meta.get("backbone", "")), tuple(parts)), pieces)
