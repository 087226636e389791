"""``coterie data``: what clients would train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.cli.options import Format, Sets
from coterie.core.errors import UserError

data_app = typer.Typer(help="Look at pictures before training on them.", no_args_is_help=True)


@data_app.command("check")
def data_check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A folder, a parquet file, an id of the Hugging Face hub, or a recipe (.toml)."
        ),
    ],
    sheet: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the pictures and captions: a PNG.")] = None,
    image_column: Annotated[str, typer.Option(help="Column with the pictures.")] = "image",
    caption_column: Annotated[str, typer.Option(help="Column with the captions.")] = "caption",
    caption: Annotated[str, typer.Option(help="For pictures that have none.")] = "",
    column: Annotated[str, typer.Option(help="Column that names the client, if not client or person.")] = "",
    split: Annotated[str, typer.Option(help="Which rows of a data set.")] = "train",
    revision: Annotated[str, typer.Option(help="Of a data set on the hub: branch, tag or commit.")] = "",
    side: Annotated[
        int, typer.Option(help="Pixels of a square's side; 0 is 32, or 512 with buckets.", min=0, max=4096)
    ] = 0,
    buckets: Annotated[
        bool, typer.Option("--buckets", help="Cut to the shapes of the buckets beside a square of that side.")
    ] = False,
    sets: Sets = None,
    format: Format = "table",
) -> None:
    """Show what clients would train on: counts, what was skipped and why, near-duplicates, a sheet of pictures."""
    from coterie.cli.tables import print_check
    from coterie.data.check import check
    from coterie.runs.look import Asked, looked_at

    options = Asked(image_column, caption_column, caption, column, split, revision)
    if 0 < side < 8:
        raise UserError(f"--side {side}: nothing can be seen in so few pixels; wanted at least 8")
    table = looked_at(what, side, options, sets or (), buckets)
    if sheet is not None and table.is_documents:
        raise UserError("--sheet: draws pictures, and these are documents; leave it out")
    if sheet is not None:
        from coterie.data.sheet import sheet as drawn
        from coterie.engines.disk import write_bytes

        write_bytes(sheet, drawn(table))
    print_check(check(table), format)
    if sheet is not None:
        typer.echo(f"sheet: {sheet}", err=format == "json")
