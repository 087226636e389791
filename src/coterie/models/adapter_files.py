"""Adapter files of other programs, in and out: loud about every key, exact about every scale.

A file is read against the layers of one backbone. Every tensor must be one of theirs; what is left over, missing, not
finite or of another shape is named. Files that can run code are refused unread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.core.errors import OtherModel, UserError
from coterie.models.conv1d import is_transposed
from coterie.models.packed import is_linear
from coterie.models.safetensors_files import CONVERT, one_line, read_tensors
from coterie.models.shelves import LAYOUTS, Keys

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
KINDS = {"hada_w1_a": "LoHa", "lokr_w1": "LoKr", "lokr_w2": "LoKr", "dora_scale": "DoRA", "oft_": "OFT", "diff": "full"}
LARGEST_SCALE = 1e30  # float32 ends little above
ENCODERS = ("text_encoder", "text_encoder_2")
HARMLESS = ("format", "backbone", "adapter", "order", "lora_adapter_metadata")


@dataclass(frozen=True)
class Shape:
    """A layer that can be adapted: rows and columns of its weight, its kernel if it is a convolution.

    ``transposed`` where the weight lies the other way round, as in GPT-2.
    """

    out: int
    columns: int
    kernel: tuple[int, ...] = ()
    transposed: bool = False


@dataclass(frozen=True)
class Imported:
    """What a file held.

    Attributes:
        adapter: in the backbone's order of layers.
        layout: name of the layout that the file is written in.
        unmatched: keys that are of no layer, where they were allowed.
        stripped: names of header fields that were left behind, because they may say something about a person.
        assumed: layers whose alpha is said nowhere; it was taken as their rank, so that they count fully.
    """

    adapter: Adapter
    layout: str
    unmatched: tuple[str, ...]
    stripped: tuple[str, ...]
    assumed: int = 0


def adaptable(network: nn.Module) -> dict[str, Shape]:
    """All layers of a network that low-rank factors can stand beside, in its order."""
    found = {}
    for name, module in network.named_modules():
        if is_linear(module):
            found[name] = Shape(
                module.out_features, module.in_features, transposed=getattr(module, "transposed", False)
            )
        elif is_transposed(module):
            found[name] = Shape(module.weight.shape[1], module.weight.shape[0], transposed=True)
        elif type(module) is nn.Conv2d and module.groups == 1:
            found[name] = Shape(module.out_channels, module.weight[0].numel(), tuple(module.kernel_size))
    return found


def owners(names: Iterable[str], component: str) -> dict[str, tuple[str, str]]:
    """The component of the pipeline that each layer is of, and its name within.

    Text encoders that are adapted hang below the denoiser by the pipeline's names for them. The first of two is called
    ``text_encoder_1``, because one layout spells it unlike the only one.
    """
    found = {}
    for name in names:
        head, _, rest = name.partition(".")
        found[name] = (head, rest) if head in ENCODERS else (component, name)
    if any(head == ENCODERS[1] for head, _ in found.values()):
        found = {n: ("text_encoder_1" if head == ENCODERS[0] else head, rest) for n, (head, rest) in found.items()}
    return found


def read_file(
    path: Path, layers: Mapping[str, Shape], backbone: str, component: str = "unet", allow_unmatched: bool = False
) -> Imported:
    """An adapter for a backbone from a file or folder of any layout on the shelf.

    Args:
        path: a safetensors file, or a folder in PEFT's layout.
        layers: of the backbone, from ``adaptable``.
        backbone: digest that the adapter will belong to; a file that names another is refused.
        component: of the pipeline that the network is.
        allow_unmatched: whether keys of no layer are left out instead of refused.

    Raises:
        UserError: in one line: the file, the key, what is wrong.
    """
    config, path = _opened(path)
    tensors, meta = read_tensors(path)
    named = meta.get("backbone")
    if named is not None and named != backbone:
        raise OtherModel(
            f"{path}: the adapter belongs to another backbone: its digest is {one_line(named)}, wanted {backbone}"
        )
    layout, matched = _matched(path, tensors, layers, component)
    used = {key for keys in matched.values() for key in keys if key}
    unmatched = tuple(sorted(set(tensors) - used))
    if unmatched and not allow_unmatched:
        raise OtherModel(
            f"{path}: {len(unmatched)} of {len(tensors)} tensors are of no layer of this backbone, like "
            f"{one_line(unmatched[0])}"
        )
    parts, pieces, assumed = [], [], 0
    for name, (owner, inside) in owners(layers, component).items():
        if name in matched:
            alphas = _alphas(config, meta, owner.removesuffix("_1"))
            part, piece = _factors(path, name, inside, layers[name], matched[name], tensors, alphas)
            parts.append(part)
            pieces.append(piece)
            assumed += not matched[name].alpha and not {"lora_alpha", "alpha_pattern"} & set(alphas)
    adapter = build(Layout(backbone, tuple(parts)), pieces)
    return Imported(adapter, layout, unmatched, tuple(sorted(map(one_line, set(meta) - set(HARMLESS)))), assumed)


def by_component(adapter: Adapter, component: str) -> dict[str, Adapter]:
    """An adapter's parts for each component of the pipeline, layers named as within it."""
    owned = owners((part.name for part in adapter.layout.parts), component)
    apart: dict[str, list[tuple[Any, Any]]] = {}
    for index, part in enumerate(adapter.layout.parts):
        owner, inside = owned[part.name]
        piece = adapter.factors(index) if isinstance(part, LowRank) else adapter.dense(index)
        apart.setdefault(owner.removesuffix("_1"), []).append((replace(part, name=inside), piece))
    return {
        owner: build(Layout(adapter.layout.backbone, tuple(p for p, _ in some)), [piece for _, piece in some])
        for owner, some in apart.items()
    }


def written(adapter: Adapter, layout: str, component: str = "unet") -> bytes:
    """The one file of an adapter in a layout; float32, with no word about anybody in its header.

    Raises:
        UserError: if a part is not low-rank, or the layout cannot say its scale.
    """
    spelled, tensors = LAYOUTS[layout](), {}
    ranks: dict[str, dict[str, int]] = {}
    alphas: dict[str, dict[str, float]] = {}
    owned = owners((part.name for part in adapter.layout.parts), component)
    for index, part in enumerate(adapter.layout.parts):
        if not isinstance(part, LowRank):
            raise UserError(f"{part.name}: a dense part cannot be written as a low-rank adapter")
        owner, inside = owned[part.name]
        keys: Keys = spelled.keys(owner, inside)[0]
        b, a = adapter.factors(index)
        if part.kernel:
            a, b = a.reshape(part.rank, -1, *part.kernel), b.reshape(part.out, part.rank, 1, 1)
        tensors[keys.a], tensors[keys.b] = a.contiguous().clone(), b.contiguous().clone()
        ranks.setdefault(owner, {})[inside] = part.rank
        alphas.setdefault(owner, {})[inside] = part.scale * part.rank
        if keys.alpha:
            tensors[keys.alpha] = torch.tensor(part.scale * part.rank)
    meta = {"format": "pt", "backbone": adapter.layout.backbone, "adapter": adapter.digest}
    if layout == "diffusers":
        config = {
            f"{owner.removesuffix('_1')}.{key}": value
            for owner in ranks
            for key, value in lora_config(ranks[owner], alphas[owner]).items()
        }
        meta["lora_adapter_metadata"] = json.dumps(config, sort_keys=True)
    return save(tensors, metadata=meta)


def lora_config(ranks: Mapping[str, int], alphas: Mapping[str, float]) -> dict[str, Any]:
    """What PEFT's ``LoraConfig`` takes: the commonest rank and alpha, and patterns for the layers that differ.

    Names lose a leading ``text_model.``: some versions of transformers have it and some do not, and PEFT compares the
    ends of names.
    """
    ranks = {name.removeprefix("text_model."): value for name, value in ranks.items()}
    alphas = {name.removeprefix("text_model."): value for name, value in alphas.items()}
    rank = max(sorted(set(ranks.values())), key=list(ranks.values()).count)
    alpha = max(sorted(set(alphas.values())), key=list(alphas.values()).count)
    return {
        "r": rank, "lora_alpha": alpha, "target_modules": sorted(ranks), "lora_dropout": 0.0, "bias": "none",
        "rank_pattern": {name: r for name, r in ranks.items() if r != rank},
        "alpha_pattern": {name: v for name, v in alphas.items() if v != alpha},
    }  # fmt: skip


def _opened(path: Path) -> tuple[dict[str, Any], Path]:
    """The settings beside a file, and the file."""
    if path.is_dir():
        inside = path / "adapter_model.safetensors"
        if not inside.is_file():
            found = sorted(p.name for p in path.glob("*.safetensors"))
            hint = f"; there are: {', '.join(found[:5])}" if found else ""
            raise UserError(f"{path}: no adapter_model.safetensors is here{hint}")
        path = inside
    if path.suffix in PICKLED:
        raise UserError(
            f"{path}: a {path.suffix} file can run code when it is opened, so it is not; convert it where it came "
            f"from, with {CONVERT}"
        )
    beside = path.parent / "adapter_config.json"
    if path.name != "adapter_model.safetensors" or not beside.is_file():
        return {}, path
    try:
        config = json.loads(beside.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("not a table")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{beside}: cannot be read: {one_line(str(error))}") from error
    # ``fan_in_fan_out`` says how a layer keeps its weight, nothing of the factors: PEFT has them one way round always
    if config.get("use_dora"):
        raise UserError(f"{beside}: use_dora is set; only plain low-rank adapters can be read")
    return config, path


def _matched(
    path: Path, tensors: Mapping[str, Tensor], layers: Mapping[str, Shape], component: str
) -> tuple[str, dict[str, Keys]]:
    """The layout of which most keys are in the file, and the keys of every layer that is."""
    best: tuple[str, dict[str, Keys]] = ("", {})
    for name in sorted(LAYOUTS.names(), key="comfy".__eq__):  # last: of a U-Net it writes kohya's names
        spelled = LAYOUTS[name]()
        found = {}
        for layer, (owner, inside) in owners(layers, component).items():
            for keys in spelled.keys(owner, inside):
                if keys.a in tensors or keys.b in tensors:
                    alpha = keys.alpha if keys.alpha in tensors else ""
                    found[layer] = keys._replace(alpha=alpha)
        if len(found) > len(best[1]):
            best = name, found
    if best[1]:
        return best
    kinds = sorted({kind for mark, kind in KINDS.items() if any(f".{mark}" in key for key in tensors)})
    if kinds:
        raise UserError(
            f"{path}: this is a {' and '.join(kinds)} file; only plain low-rank adapters (LoRA) can be read"
        )
    example, wanted = (
        one_line(min(tensors, default="nothing")),
        LAYOUTS["kohya"]().keys(component, next(iter(layers)))[0].a,
    )
    raise OtherModel(
        f"{path}: none of its {len(tensors)} tensors is of a layer of this backbone; it has {example}, wanted keys "
        f"like {wanted}"
    )


def _alphas(config: Mapping[str, Any], meta: Mapping[str, str], component: str) -> Mapping[str, Any]:
    """``lora_alpha``, ``alpha_pattern`` and ``use_rslora`` from a PEFT folder or from diffusers' header."""
    if config:
        return config
    try:
        plain = json.loads(meta.get("lora_adapter_metadata", "{}"))
        prefix = f"{component}."
        own = {key[len(prefix) :]: value for key, value in plain.items() if key.startswith(prefix)}
        return own or plain
    except (ValueError, AttributeError, RecursionError):
        return {}


def _factors(
    path: Path,
    name: str,
    inside: str,
    shape: Shape,
    keys: Keys,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
) -> tuple[LowRank, tuple[Tensor, Tensor]]:
    a, b = tensors.get(keys.a), tensors.get(keys.b)
    if a is None or b is None:
        raise UserError(f"{path}: {keys.b if b is None else keys.a} is missing; the other factor of {name} is there")
    if a.dim() < 2 or b.dim() < 2:
        raise UserError(f"{path}: {keys.a}: factors must be matrices, not {tuple(a.shape)} and {tuple(b.shape)}")
    if not (a.is_floating_point() and b.is_floating_point()):
        raise UserError(f"{path}: {keys.a}: wanted fractions, not {a.dtype} and {b.dtype}")
    rank = a.shape[0]
    if not rank:
        raise UserError(f"{path}: {keys.a}: a rank of 0 makes it no adapter at all")
    fits = (b.shape[0], a[0].numel(), b[0].numel()) == (shape.out, shape.columns, rank)
    if not fits or (a.dim() == 4 and tuple(a.shape[2:]) != (shape.kernel or (1, 1))):
        raise OtherModel(
            f"{path}: {keys.a}: {tuple(b.shape)} times {tuple(a.shape)} does not fit {name}, which has {shape.out} x "
            f"{shape.columns} numbers"
        )
    a, b = a.float(), b.float()
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise UserError(f"{path}: {keys.a}: a number of it or of its other factor is not finite")
    try:
        alpha = _alpha((name, inside, inside.removeprefix("text_model.")), rank, keys, tensors, config)
    except (ValueError, TypeError, AttributeError, OverflowError, RuntimeError):
        raise UserError(f"{path}: {keys.alpha or name}: its alpha is not one number") from None
    scale = alpha / rank**0.5 if config.get("use_rslora") and not keys.alpha else alpha / rank
    if not math.isfinite(scale) or abs(scale) > LARGEST_SCALE or scale == 0:
        raise UserError(f"{path}: {keys.alpha or name}: an alpha of {alpha:g} makes it no adapter at all")
    part = LowRank(name, shape.out, shape.columns, rank, scale, shape.kernel, shape.transposed)
    return part, (b.reshape(shape.out, rank), a.reshape(rank, -1))


def _alpha(
    names: tuple[str, ...], rank: int, keys: Keys, tensors: Mapping[str, Tensor], config: Mapping[str, Any]
) -> float:
    """``names``: all that a pattern may call the layer."""
    if keys.alpha:
        return float(tensors[keys.alpha].float().item())
    patterns = config.get("alpha_pattern") or {}
    found = [patterns[name] for name in names if name in patterns]
    return float(found[0] if found else config.get("lora_alpha", rank))
