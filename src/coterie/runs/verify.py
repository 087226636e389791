"""Proof on a user's own adapter: as trained, as written in every layout and read again, and merged into the weights."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.core.adapter import Adapter, LowRank
from coterie.core.errors import UserError, nearest
from coterie.models.adapter_files import adaptable, read_file, written
from coterie.models.backbone import Backbone
from coterie.models.peft_files import peft_files, read_peft
from coterie.models.shelves import LAYOUTS
from coterie.runs.exchange import named_in_hindsight
from coterie.runs.folder import open_run
from coterie.runs.generate import adapter_folders
from coterie.runs.reading import read_recipe

SAME, ROUNDING = 1e-4, 1e-6  # of the adapter's effect, and of a loss: everything is in float32
EXAMPLES = 4


@dataclass(frozen=True)
class Check:
    """One way to use the adapter, how far its losses are from the trained one's, and how far they may be."""

    way: str
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.allowed


def verify(run: Path, name: str) -> tuple[float, list[Check]]:
    """How much an adapter of a run changes the backbone's losses, and whether every other form of it does the same.

    Returns:
        The largest relative change of a loss, and one check a way.

    Raises:
        UserError: if the run has no such adapter, or the adapter changes nothing at all.
    """
    folder = open_run(run)
    found = adapter_folders(folder)
    if name not in found:
        raise UserError(f"{run}: no adapter is called {name!r}{nearest(name, found)}")
    recipe = read_recipe(folder.server / "recipe.toml")
    whole: Any = recipe.backbone
    if hasattr(
        whole, "quantise"
    ):  # elsewhere adapters stand beside whatever weights; nothing can be merged into packed ones
        whole = replace(whole, quantise="none")
    backbone = whole.load(torch.float32, recipe.engine.tokens or 32)
    with named_in_hindsight(f"of a run this is the backbone that {folder.server / 'recipe.toml'} names"):
        adapter = read_peft(found[name], backbone.digest)
    layers = adaptable(backbone.network)
    base, trained = _losses(backbone, None), _losses(backbone, adapter)
    effect = float((trained - base).abs().max())
    if not effect > 0:
        raise UserError(f"{found[name]}: the adapter changes nothing: every loss is the bare backbone's")

    def compare(way: str, losses: Tensor) -> Check:
        allowed = SAME * effect + ROUNDING * float(base.max())
        return Check(way, float((losses - trained).abs().max()), allowed)

    checks = []
    with tempfile.TemporaryDirectory() as place:
        for layout in LAYOUTS.names() if backbone.makes == "pictures" else ["peft"]:
            path = Path(place) / layout
            path.mkdir()
            if layout == "peft":
                for file, data in peft_files(adapter).items():
                    (path / file).write_bytes(data)
            else:
                path = path / "adapter.safetensors"
                path.write_bytes(written(adapter, layout, backbone.component))
            again = read_file(path, layers, backbone.digest, backbone.component).adapter
            checks.append(compare(f"written for {layout} and read again", _losses(backbone, again)))
    checks.append(compare("merged into the weights", _merged_losses(backbone, adapter)))
    return float(((trained - base).abs() / base).max()), checks


@torch.no_grad()
def _losses(backbone: Backbone, adapter: Adapter | None) -> Tensor:
    rows = backbone.fixed(backbone.examples(EXAMPLES), 4, 0)
    if adapter is None:
        return backbone.losses(rows).double()
    bank = Bank(backbone, adapter.layout, 1)
    try:
        bank.bind_groups([[(adapter, 1.0)]])
        return backbone.losses(rows).double()
    finally:
        bank.close()


@torch.no_grad()
def _merged_losses(backbone: Backbone, adapter: Adapter) -> Tensor:
    kept = copy.deepcopy(backbone.network.state_dict())
    try:
        for index, part in enumerate(adapter.layout.parts):
            assert isinstance(part, LowRank)
            b, a = adapter.factors(index)
            weight = backbone.network.get_submodule(part.name).weight
            assert isinstance(weight, Tensor)
            change = part.scale * b @ a
            weight += (change.T if part.transposed else change).view_as(weight)
        return _losses(backbone, None)
    finally:
        backbone.network.load_state_dict(kept)
