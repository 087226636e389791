"""Which layers of a network are adapted: by the name of a set, or by a pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import nn

from coterie.core.adapter import Layout, LowRank
from coterie.core.errors import UserError, nearest
from coterie.models.adapter_files import adaptable

SETS = {
    "attention": r"(^|\.)(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out|[qkv]_proj|out_proj)$",
    "transformer": (
        r"(^|\.)(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out|proj_in|proj_out|ff(_context)?\.net\.(0\.proj|2)"
        r"|[qkv]_proj|out_proj|fc1|fc2)$"
    ),
    "all": r".",
}
"""``transformer`` is what kohya's trainer adapts: attention, the two layers after it, and the projections around."""


def layout_of(
    network: nn.Module, backbone: str, rank: int, alpha: float, targets: str, sets: Mapping[str, str] = SETS
) -> Layout:
    """The layout of low-rank factors beside chosen layers.

    Args:
        network: bare; its own order of layers is the adapter's.
        backbone: digest that the adapter belongs to.
        rank: of the factors.
        alpha: updates are scaled by ``alpha / rank``.
        targets: a name of a set, or a regular expression that is looked for in the names of layers.
        sets: patterns by name.

    Raises:
        UserError: if the pattern is none, or fits no layer; it shows some names.
    """
    layers = adaptable(network)
    if not layers or any(name.endswith(".base") for name in layers):
        raise UserError("no layer to adapt was found: ask for the layout before a bank holds the layers")
    try:
        wanted = re.compile(sets.get(targets, targets))
    except re.error as error:
        raise UserError(f"method.targets: {targets!r} is no set and no regular expression: {error}") from error
    chosen = {name: shape for name, shape in layers.items() if wanted.search(name)}
    if not chosen:
        some = ", ".join(list(layers)[:: max(1, len(layers) // 4)][:4])
        raise UserError(
            f"method.targets: {targets!r} is in no layer's name{nearest(targets, sets)}; layers are: {some}"
        )
    parts = (LowRank(n, s.out, s.columns, rank, alpha / rank, s.kernel, s.transposed) for n, s in chosen.items())
    return Layout(backbone, tuple(parts))
