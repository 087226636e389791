"""``coterie pretrain``: the embedded backbone from drawings, or by ``coterie.cli.reading`` a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.core.errors import Interrupted, UserError


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for weights, curve and grid; one with a state is continued.")],
    drawings: Annotated[
        list[Path] | None, typer.Option(help="Parquet file of drawings, for doodle; may be repeated.")
    ] = None,
    books: Annotated[
        list[Path] | None, typer.Option(help="Parquet file of books, for a language model; may be repeated.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Author who is not read; may be repeated; otherwise six, '' for none.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Budget: tokens of books seen.", min=1)] = 7_600_000,
    pictures: Annotated[int, typer.Option(help="Budget: pictures seen.", min=1)] = 640_000,
    processes: Annotated[int, typer.Option(help="Processes of one thread each.", min=1)] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    loaders: Annotated[int, typer.Option(help="Helper processes that draw pictures.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Of every draw.", min=0)] = 0,
) -> None:
    """Train an embedded backbone from public drawings, or a small language model from books in the public domain."""
    if bool(drawings) == bool(books):
        raise UserError("wanted either --drawings FILE or --books FILE")
    if books:
        from coterie.cli.reading import pretrain_on_books

        pretrain_on_books(out, books, tokens, device, seed, leave_out)
        return
    assert drawings is not None
    from coterie.cli.pretraining_progress import pretraining_listener
    from coterie.pretraining.folder import seen_before
    from coterie.pretraining.train import Pretraining
    from coterie.pretraining.train import pretrain as train

    settings = Pretraining(pictures=pictures, processes=processes, device=device, loaders=loaders, seed=seed)
    try:
        with pretraining_listener(pictures) as heard:
            weights = train(out, drawings, settings, heard.tell, heard.progress)
    except KeyboardInterrupt as stop:
        seen = seen_before(out)
        saved = f"{seen:,} pictures are saved in {out}, go on" if seen else "nothing was learned yet, begin again"
        raise Interrupted(f"stopped; {saved} with the same command") from stop
    typer.echo(f"{seen_before(out):,} pictures seen; weights: {weights}")
