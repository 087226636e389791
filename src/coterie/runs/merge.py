"""Adapters that people already have, made one: a federation of a single round whose clients are files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.core.errors import UserError
from coterie.core.update import Update
from coterie.data.sources.studio import PROMPTS
from coterie.engines.disk import write_bytes
from coterie.engines.replies import ReplyMap
from coterie.federation.shelves import AGGREGATORS
from coterie.models.adapter_files import Shape, adaptable, read_file
from coterie.models.backbone import Backbone
from coterie.models.peft_files import peft_files
from coterie.models.png import png_bytes, sheet
from coterie.models.shelves import BACKBONES


@dataclass(frozen=True)
class Merged:
    """What came of it.

    Attributes:
        adapter: the one.
        discarded: share of the energy that its rank could not hold; None where the rule does not say.
        ranks: of each file, its largest.
        sheet: where the pictures are: the bare backbone, each adapter, the merged one, a row each.
    """

    adapter: Adapter
    discarded: float | None
    ranks: tuple[int, ...]
    sheet: Path


def merge_files(
    files: Sequence[Path], backbone: Mapping[str, Any], out: Path, rule: str = "product_svd",
    weights: Sequence[float] = (), rank: int = 0, density: float | None = None,
    prompts: Sequence[str] = PROMPTS, steps: int = 16,
) -> Merged:  # fmt: skip
    """Merges adapter files of one backbone, of any layout and of any ranks that the rule takes.

    Args:
        files: two or more.
        backbone: settings of the backbone that they are for.
        out: new folder: the merged adapter in PEFT's layout and ``sheet.png``.
        rule: an aggregator.
        weights: one for each file; they are divided by their sum. None given: all equal.
        density: of the rule ``ties``; None is its own.
        rank: of the result; 0 is the largest rank among the files.
        prompts: what the sheet shows, each from the same noise in every row.
        steps: denoising steps of the sheet.

    Raises:
        UserError: if a file cannot be read, or weights, ranks and rule do not go together.
    """
    if len(files) < 2:
        raise UserError("give two or more adapters to merge")
    if weights and (len(weights) != len(files) or min(weights) < 0 or not sum(weights) > 0):
        raise UserError(
            f"--weights: {len(weights)} weights for {len(files)} adapters; one each, none below 0, not all 0"
        )
    loaded = BACKBONES.build(dict(backbone), "--backbone").load(torch.float32, 32)
    layers = adaptable(loaded.network)
    found = [read_file(path, layers, loaded.digest, loaded.component).adapter for path in files]
    aligned = [_aligned(adapter, found, layers) for adapter in found]
    ranks = tuple(max(p.rank for p in a.layout.parts if isinstance(p, LowRank)) for a in found)
    if density is not None and rule != "ties":
        raise UserError(f"--density: the rule {rule} trims nothing; it belongs to --rule ties")
    settings = {"name": rule} | ({} if density is None else {"density": density})
    made = AGGREGATORS.build(settings, "--rule")
    same = all(adapter.layout == aligned[0].layout for adapter in aligned)
    if not made.mixed_ranks and (not same or rank not in (0, ranks[0])):
        raise UserError(f"--rule {rule}: averages factors, which must have one rank; use --rule product_svd")
    like = aligned[0] if same and not rank else _like(aligned, rank or max(ranks))
    shares = weights or [1.0] * len(files)
    replies = {f"{i:04d}": Update(a, w) for i, (a, w) in enumerate(zip(aligned, shares, strict=True))}
    _, adapter, numbers = made.apply(made.init(like), like, ReplyMap(replies, {}))
    for file, data in peft_files(adapter).items():
        write_bytes(out / file, data)
    _draw(loaded, [*aligned, adapter], prompts, steps, out / "sheet.png")
    return Merged(adapter, numbers.get("aggregate/discarded_energy"), ranks, out / "sheet.png")


def _aligned(adapter: Adapter, others: Sequence[Adapter], layers: Mapping[str, Shape]) -> Adapter:
    """The same adapter with every layer that any of them adapts, in the backbone's order; new ones do nothing."""
    own = {part.name: i for i, part in enumerate(adapter.layout.parts)}
    wanted = {part.name for other in others for part in other.layout.parts}
    parts, pieces = [], []
    for name, shape in layers.items():
        if name in own:
            part = adapter.layout.parts[own[name]]
            assert isinstance(part, LowRank)
            parts.append(part)
            pieces.append(adapter.factors(own[name]))
        elif name in wanted:
            parts.append(LowRank(name, shape.out, shape.columns, 1, 1.0, shape.kernel))
            pieces.append((torch.zeros(shape.out, 1), torch.zeros(1, shape.columns)))
    return build(Layout(adapter.layout.backbone, tuple(parts)), pieces)


def _like(adapters: Sequence[Adapter], rank: int) -> Adapter:
    """A start of one rank and a scale of one over the layers of all."""
    first = adapters[0].layout
    parts = tuple(LowRank(p.name, p.out, p.columns, rank, 1.0, p.kernel) for p in first.parts if isinstance(p, LowRank))
    return Layout(first.backbone, parts).start(0)


def _draw(backbone: Backbone, adapters: Sequence[Adapter], prompts: Sequence[str], steps: int, path: Path) -> None:
    from coterie.bank.bank import Bank, Mix
    from coterie.bank.denoise import Request, sample

    largest = max(p.rank for a in adapters for p in a.layout.parts if isinstance(p, LowRank))
    bank = Bank(backbone, _like(adapters, largest).layout, 1)
    rows: list[Mix] = [(), *(((adapter, 1.0),) for adapter in adapters)]
    try:
        pictures = sample(bank, [Request(p, tuple(mix), i, steps) for mix in rows for i, p in enumerate(prompts)])
    finally:
        bank.close()
    n = len(prompts)
    write_bytes(path, png_bytes(sheet([list(pictures[k * n : (k + 1) * n]) for k in range(len(rows))])))
