"""Options and arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one key of the recipe; may be repeated.")
]
Format = Annotated[str, typer.Option("--format", help="How to print: table or json.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="That may be used, like 8GB; decides how many go at once.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print every event as a line of JSON.")]
BackboneOption = Annotated[
    str,
    typer.Option(help="A name on the shelf, a diffusers pipeline (folder, file or id), or a language model's folder."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)]
