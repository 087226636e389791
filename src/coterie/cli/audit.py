"""The commands of ``coterie audit``: what they take and what they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from coterie.cli.options import Format
from coterie.cli.progress import steps_bar

audit_app = typer.Typer(
    help="Measure how prompts are routed, what encoded wishes give away, and what mixes of clusters draw.",
    no_args_is_help=True,
)


@audit_app.command()
def routing(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The JSON file; otherwise audit/routing.json in the run.")] = None,
    format: Format = "table",
) -> None:
    """Measure how well prompts pick adapters: the right group, none, and how much loss the mix removes."""
    from coterie.cli.tables import print_rows
    from coterie.engines.disk import write_bytes
    from coterie.runs.audit_routing import audit_routing

    with steps_bar("routing") as progress:
        found = audit_routing(run, progress)
    path = out or run / "audit" / "routing.json"
    write_bytes(path, json.dumps(found, indent=1, sort_keys=True).encode())
    print_rows(found["rows"], format, "There is no prompt to route.")
    typer.echo(f"{path}", err=True)


@audit_app.command()
def prompts(
    what: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN or RECIPE]", help="Folder of a run or a TOML file; without one, the quick start."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; otherwise audit/ in the run, or a new one here.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Draws of projections and noise.", min=1, max=20)] = 5,
    format: Format = "table",
) -> None:
    """Try to read wishes back from what each mode sends, and measure how well groups are still found."""
    from coterie.cli.tables import print_rows
    from coterie.runs.audit_prompts import audit_prompts, place, table
    from coterie.runs.prompts_page import write_pages

    folder = place(what, out)
    with steps_bar("reading wishes back") as progress:
        found = audit_prompts(what, seeds, progress)
    page = write_pages(found, folder)
    print_rows(table(found), format, "")
    typer.echo(f"{page}", err=True)


@audit_app.command()
def hybrids(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of finished runs, say of several seeds.", show_default=False),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the results; otherwise audit/ in the first run.")] = None,
    draws: Annotated[int, typer.Option(help="Pictures of each prompt.", min=1, max=50)] = 2,
    format: Format = "table",
) -> None:
    """Draw every pair of clusters in every way of mixing, and measure whether both styles are in one picture."""
    from coterie.cli.tables import print_rows
    from coterie.core.errors import UserError
    from coterie.runs.audit_hybrids import audit_hybrids
    from coterie.studies.hybrids import common_pairs, judged, write_hybrids

    folder, audits = out or runs[0] / "audit", dict[str, Any]()
    if len({run.name for run in runs}) < len(runs):
        raise UserError("audit hybrids: two runs of one name; give each folder its own")
    for run in runs:
        with steps_bar(f"drawing hybrids of {run.name}") as progress:
            audits[run.name] = audit_hybrids(run, None if audits else folder, draws, progress)
    if not common_pairs(list(audits.values())):
        raise UserError("audit hybrids: no two styles have clusters in all of these runs")
    page = write_hybrids(audits, folder)
    shown = ("name", "both", "subject", "mean", "low", "high", "supported")
    print_rows([{key: getattr(way, key) for key in shown} for way in judged(list(audits.values()))], format, "")
    typer.echo(f"{page}; a sheet of pictures for each pair beside it", err=True)
