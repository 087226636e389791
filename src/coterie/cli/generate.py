"""``coterie generate``: pictures and texts after a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.cli.options import RunArgument
from coterie.core.errors import UserError


def generate(
    run: RunArgument,
    prompt: Annotated[str, typer.Option(help="What to draw, or how a text begins.")],
    client: Annotated[str | None, typer.Option(help="Draw or write with what this person keeps.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Draw with an adapter of the server, like cluster-0.")] = None,
    mix: Annotated[str | None, typer.Option(help="Draw with a mix, like cluster-0=0.6,cluster-2=0.4.")] = None,
    way: Annotated[str, typer.Option(help="How a mix draws: merge, composite, switch or schedule.")] = "merge",
    bare: Annotated[bool, typer.Option("--bare", help="Draw with the bare backbone.")] = False,
    seed: Annotated[int, typer.Option(help="Of the first picture or text; the next ones count up.", min=0)] = 0,
    n: Annotated[
        int | None, typer.Option("-n", help="How many; otherwise 8 pictures or 1 text.", min=1, max=256)
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Width and height of a picture, like 512x768; otherwise the model's square."),
    ] = None,
    steps: Annotated[int, typer.Option(help="Denoising steps of a picture.", min=1, max=1000)] = 24,
    guidance: Annotated[float, typer.Option(help="How strictly a picture follows the prompt.", min=1)] = 3.0,
    tokens: Annotated[int | None, typer.Option(help="Of a text, at most; otherwise the run's texts.tokens.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of a text: 0 takes the likeliest token; otherwise the run's.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Share of the likeliest tokens drawn from; otherwise the run's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; texts are written there too.")] = None,
    note_prompt: Annotated[bool, typer.Option(help="Write the prompt into the pictures.")] = False,
) -> None:
    """Draw or write with adapters of a run; without a choice, with those that the prompt picks, and say which.

    Pictures become files. A text appears word by word; the same seed gives the same text.
    """
    from coterie.core.size import read_size
    from coterie.runs.generate import Wanted, draw, makes_texts, way_named

    written = makes_texts(run)
    wanted = Wanted(
        prompt, client, cluster, mix, seed, n or (1 if written else 8), steps, guidance, way_named(way), note_prompt,
        bare, None if size is None else read_size(size, "--size"),
    )  # fmt: skip
    of_texts = {"--tokens": tokens, "--temperature": temperature, "--top-p": top_p}
    for key, value in {"--size": size}.items() if written else of_texts.items():
        if value is not None:
            made, other = ("texts", "pictures") if written else ("pictures", "texts")
            raise UserError(f"{key}: is for {other}, and the backbone of {run} makes {made}; leave it out")
    if written:
        from coterie.cli.telling import tell_texts

        tell_texts(run, wanted, {"tokens": tokens, "temperature": temperature, "top_p": top_p}, out)
        return
    from coterie.cli.progress import steps_bar

    with steps_bar("drawing") as progress:
        sheet, chosen = draw(run, wanted, out, progress)
    if chosen:
        typer.echo(chosen, err=True)
    typer.echo(str(sheet))
