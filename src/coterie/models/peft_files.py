"""Adapters as folders in PEFT's layout: ``adapter_config.json`` beside ``adapter_model.safetensors``.

PEFT, diffusers and everything built on them read these files. The file's metadata hold the digests of backbone and
adapter and the order of the layers, and nothing else: no name, no prompt, no path.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from coterie.core.adapter import Adapter, Dense, Layout, LowRank, build
from coterie.core.errors import OtherModel, UserError
from coterie.models.dense_files import dense_files, is_dense, read_dense
from coterie.models.safetensors_files import one_line, read_tensors

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def peft_files(adapter: Adapter) -> dict[str, bytes]:
    """The two files of an adapter, by name."""
    if all(isinstance(part, Dense) for part in adapter.layout.parts):
        return dense_files(adapter)
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
        # PEFT asks this of all layers at once, and corrects itself with a warning where one is otherwise
        "fan_in_fan_out": all(isinstance(p, LowRank) and p.transposed for p in adapter.layout.parts),
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
    if not (folder / "adapter_config.json").is_file() or not path.is_file():
        raise UserError(f"{folder}: no adapter is here; wanted adapter_config.json and {path.name}")
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors, meta = read_tensors(path)
        order = {str(name): i for i, name in enumerate(json.loads(meta.get("order", "[]")))}
    except (ValueError, TypeError, RecursionError, OSError) as error:
        raise UserError(f"{path}: not an adapter that can be read: {one_line(str(error))}") from error
    found = meta.get("backbone")
    if backbone is not None and found != backbone:
        raise OtherModel(
            f"{path}: the adapter belongs to another backbone: its digest is {one_line(str(found))}, wanted {backbone}"
        )
    if is_dense(config):
        return read_dense(path, tensors, order, str(found or ""))
    parts, pieces = [], []
    names = [key[len(_PREFIX) : -len(_A)] for key in tensors if key.startswith(_PREFIX) and key.endswith(_A)]
    for name in sorted(names, key=lambda n: order.get(n, len(order))):
        part, piece = _part(path, name, tensors, config)
        parts.append(part)
        pieces.append(piece)
    return build(Layout(str(meta.get("backbone", "")), tuple(parts)), pieces)


def _part(path: Path, name: str, tensors: Mapping[str, Tensor], config: Any) -> tuple[LowRank, tuple[Tensor, Tensor]]:
    a, b = tensors[f"{_PREFIX}{name}{_A}"], tensors.get(f"{_PREFIX}{name}{_B}")
    if b is None or not (a.is_floating_point() and b.is_floating_point()):
        raise UserError(f"{path}: {one_line(name)}: lora_B is missing or a number is not finite")
    a, b = a.float(), b.float()
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise UserError(f"{path}: {one_line(name)}: lora_B is missing or a number is not finite")
    rank = a.shape[0] if a.dim() in (2, 4) else 0
    if not rank or not a[0].numel() or b.dim() != a.dim() or b.numel() != b.shape[0] * rank:
        shapes = f"{tuple(b.shape)} times {tuple(a.shape)}"
        raise UserError(f"{path}: {one_line(name)}: {shapes} are no two factors")
    try:
        scale = float((config.get("alpha_pattern") or {}).get(name, config["lora_alpha"])) / rank
        if not math.isfinite(scale):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise UserError(f"{path.parent / 'adapter_config.json'}: {one_line(name)} has no lora_alpha") from None
    part = LowRank(name, b.shape[0], a[0].numel(), rank, scale, tuple(a.shape[2:]), bool(config.get("fan_in_fan_out")))
    return part, (b.reshape(b.shape[0], rank), a.reshape(rank, -1))
