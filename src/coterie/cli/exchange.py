"""``coterie export``, ``import``, ``merge`` and ``verify``: adapters as files that other programs read and write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.cli.options import RunArgument
from coterie.cli.progress import steps_bar
from coterie.core.errors import UserError


def export(
    run: RunArgument,
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A name that `coterie adapters` lists.")],
    out: Annotated[Path, typer.Option(help="The file; for peft, the folder.")],
    format: Annotated[str, typer.Option("--format", help="peft, diffusers, kohya or comfy.")] = "peft",
) -> None:
    """Write an adapter of a run as other programs read it."""
    from coterie.runs.exchange import export_adapter

    for path in export_adapter(run, adapter, format, out):
        typer.echo(str(path))


def import_file(
    file: Annotated[Path, typer.Argument(help="A LoRA file, or a folder in PEFT's layout.")],
    out: Annotated[Path | None, typer.Option(help="New folder; `--set start=FOLDER` begins a run from it.")] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A finished run, of which --client keeps it from now on.")
    ] = None,
    client: Annotated[str | None, typer.Option(help="With --into: whose it becomes.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also if that client keeps one of its own.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option(help="That it is for: a name, or a pipeline's folder, file or id; else doodle, or the run's."),
    ] = None,
    allow_unmatched: Annotated[bool, typer.Option(help="Leave out tensors of no layer.")] = False,
) -> None:
    """Read a LoRA file of PEFT, diffusers, kohya or ComfyUI; say what did not fit and what was left behind."""
    if (out is None) == (into is None) or (into is None) != (client is None) or (replace and into is None):
        raise UserError("wanted either --out FOLDER, or --into RUN --client NAME (and --replace, if need be)")
    from coterie.runs.exchange import backbone_named, import_adapter, import_into

    if into is not None and client is not None:
        settings = None if backbone is None else backbone_named(backbone)
        got, where = import_into(file, into, client, settings, allow_unmatched, replace), f"{into}: {client}"
    else:
        assert out is not None
        got, where = import_adapter(file, backbone_named(backbone or "doodle"), out, allow_unmatched), str(out)
    layout = got.adapter.layout
    typer.echo(f"{where}: {len(layout.parts)} layers, {layout.size:,} numbers, read from the layout {got.layout}")
    if got.assumed:
        typer.echo(f"no alpha in the file for {got.assumed} of the layers: taken as the rank, a scale of 1")
    if got.unmatched:
        typer.echo(f"left out, of no layer of the backbone: {', '.join(got.unmatched)}")
    if got.stripped:
        typer.echo(f"left behind, fields of the header that may be private: {', '.join(got.stripped)}")


def merge(
    adapters: Annotated[list[Path], typer.Argument(metavar="ADAPTER...", help="Two or more LoRA files or folders.")],
    out: Annotated[Path, typer.Option(help="New folder for the merged adapter and a sheet of pictures.")],
    rule: Annotated[
        str, typer.Option(help="product_svd (exact up to the rank), ties, or mean (one rank).")
    ] = "product_svd",
    weights: Annotated[str, typer.Option(help="One for each, like 0.5,0.3,0.2; otherwise equal.")] = "",
    density: Annotated[float | None, typer.Option(help="For ties: share of numbers kept of each.")] = None,
    rank: Annotated[int, typer.Option(help="Of the result; 0 is the largest of theirs.", min=0, max=1024)] = 0,
    backbone: Annotated[
        str, typer.Option(help="That they are for: a name, or a pipeline's folder, file or id.")
    ] = "doodle",
) -> None:
    """Make one adapter of several that people already have, and draw each of them and the mix."""
    from coterie.runs.exchange import backbone_named
    from coterie.runs.merge import merge_files

    try:
        shares = [float(word) for word in weights.split(",") if word.strip()]
    except ValueError as error:
        raise UserError(f"--weights {weights}: wanted numbers with commas between, like 0.5,0.3,0.2") from error
    with steps_bar("each of them and the mix") as progress:
        got = merge_files(adapters, backbone_named(backbone), out, rule, shares, rank, density, progress=progress)
    typer.echo(f"{out}: {len(got.adapter.layout.parts)} layers, from ranks {', '.join(map(str, got.ranks))}")
    if got.discarded is not None:
        typer.echo(f"share of the energy that the rank could not hold: {got.discarded:.4f}")
    typer.echo(f"{got.sheet}: rows from the top: {', '.join(got.rows)}")


def verify(
    run: RunArgument, adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A name that is listed.")]
) -> None:
    """Check on losses that an adapter, its files in every layout and its merged weights do the same, and anything."""
    from coterie.runs.verify import verify as check

    effect, checks = check(run, adapter)
    typer.echo(f"{adapter} changes losses of the backbone by up to {effect:.2g} of them")
    for found in checks:
        typer.echo(
            f"{'PASSED' if found.passed else 'FAILED'}  {found.way}: a loss differs by {found.difference:.1e} at most"
        )
    failed = [found.way for found in checks if not found.passed]
    if failed:
        raise UserError(f"{adapter}: not the same: {', '.join(failed)}")
