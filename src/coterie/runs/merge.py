"""Adapters that people already have, made one: a federation of a single round whose clients are files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.progress import Steps, unheard
from coterie.core.update import Update
from coterie.data.sources.studio import PROMPTS
from coterie.engines.disk import write_bytes
from coterie.engines.replies import ReplyMap
from coterie.federation.shelves import AGGREGATORS
from coterie.models.adapter_files import adaptable, read_file
from coterie.models.backbone import Backbone
from coterie.models.peft_files import peft_files
from coterie.models.png import png_bytes, sheet
from coterie.models.shelves import BACKBONES
from coterie.runs.alike import aligned, at_rank, largest_rank
from coterie.runs.exchange import NAME_IT, named_in_hindsight

TEXTS, SHORT = 4, 32  # beginnings, and tokens of each


@dataclass(frozen=True)
class Merged:
    """What came of it.

    Attributes:
        adapter: the one.
        discarded: share of the energy that its rank could not hold; None where the rule does not say.
        ranks: of each file, its largest.
        sheet: where the pictures or texts are: the bare backbone, each adapter, the merged one, a row each.
        rows: what these are called on it, from the top.
    """

    adapter: Adapter
    discarded: float | None
    ranks: tuple[int, ...]
    sheet: Path
    rows: tuple[str, ...]


def merge_files(
    files: Sequence[Path], backbone: Mapping[str, Any], out: Path, rule: str = "product_svd",
    weights: Sequence[float] = (), rank: int = 0, density: float | None = None,
    prompts: Sequence[str] = PROMPTS, steps: int = 16, progress: Steps = unheard,
) -> Merged:  # fmt: skip
    """Merges adapter files of one backbone, of any layout and of any ranks that the rule takes.

    Args:
        files: two or more.
        backbone: settings of the backbone that they are for.
        out: new folder: the merged adapter in PEFT's layout and ``sheet.png``, or ``texts.txt``.
        rule: an aggregator.
        weights: one for each file; they are divided by their sum. None given: all equal.
        density: of the rule ``ties``; None is its own.
        rank: of the result; 0 is the largest rank among the files.
        prompts: what the sheet shows, each from the same noise in every row.
        steps: denoising steps of the sheet.
        progress: called while it is drawn or written.

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
    with named_in_hindsight(NAME_IT):
        found = [read_file(path, layers, loaded.digest, loaded.component).adapter for path in files]
    same_layers = [aligned(adapter, found, layers) for adapter in found]
    ranks = tuple(map(largest_rank, found))
    if density is not None and rule != "ties":
        raise UserError(f"--density: the rule {rule} trims nothing; it belongs to --rule ties")
    settings = {"name": rule} | ({} if density is None else {"density": density})
    made = AGGREGATORS.build(settings, "--rule")
    if made.asks:
        raise UserError(f"--rule {rule}: asks something of those who train, and files train no more; use product_svd")
    same = all(adapter.layout == same_layers[0].layout for adapter in same_layers)
    if not made.mixed_ranks and (not same or rank not in (0, ranks[0])):
        raise UserError(f"--rule {rule}: averages factors, which must have one rank; use --rule product_svd")
    like = same_layers[0] if same and not rank else at_rank(same_layers[0].layout, rank or max(ranks)).start(0)
    shares = weights or [1.0] * len(files)
    replies = {f"{i:04d}": Update(a, w) for i, (a, w) in enumerate(zip(same_layers, shares, strict=True))}
    _, adapter, numbers = made.apply(made.init(like), like, ReplyMap(replies, {}))
    for file, data in peft_files(adapter).items():
        write_bytes(out / file, data)
    rows = ("bare model", *(path.resolve().stem if path.is_file() else path.resolve().name for path in files), "merged")
    written = loaded.makes == "texts"
    seen = out / ("texts.txt" if written else "sheet.png")
    if written:
        _write(loaded, [*same_layers, adapter], seen, rows, progress)
    else:
        _draw(loaded, [*same_layers, adapter], prompts, steps, seen, rows, progress)
    return Merged(adapter, numbers.get("aggregate/discarded_energy"), ranks, seen, rows)


def _write(backbone: Backbone, adapters: Sequence[Adapter], path: Path, names: Sequence[str], progress: Steps) -> None:
    from coterie.bank.bank import Bank
    from coterie.bank.write import Asked, Writing, write
    from coterie.data.texts import PROMPTS as BEGINNINGS

    bank = Bank(backbone, at_rank(adapters[0].layout, max(map(largest_rank, adapters))), 1)
    rows = [(), *(((adapter, 1.0),) for adapter in adapters)]
    prompts = BEGINNINGS[:TEXTS]
    try:
        asked = [Asked(p, mix, i) for mix in rows for i, p in enumerate(prompts)]
        texts = iter(write(bank, asked, Writing(SHORT), progress=progress))
    finally:
        bank.close()
    said = [f"{name}\n" + "".join(f"    {prompt}{next(texts)!r}\n" for prompt in prompts) for name in names]
    write_bytes(path, "\n".join(said).encode())


def _draw(
    backbone: Backbone, adapters: Sequence[Adapter], prompts: Sequence[str], steps: int, path: Path,
    names: Sequence[str], progress: Steps,
) -> None:  # fmt: skip
    from coterie.bank.bank import Bank
    from coterie.bank.compose import Mix
    from coterie.bank.denoise import Request, sample

    bank = Bank(backbone, at_rank(adapters[0].layout, max(map(largest_rank, adapters))), 1)
    rows: list[Mix] = [(), *(((adapter, 1.0),) for adapter in adapters)]
    try:
        requests = [Request(p, tuple(mix), i, steps) for mix in rows for i, p in enumerate(prompts)]
        pictures = sample(bank, requests, progress=progress)
    finally:
        bank.close()
    n = len(prompts)
    write_bytes(path, png_bytes(sheet([list(pictures[k * n : (k + 1) * n]) for k in range(len(rows))], names=names)))
