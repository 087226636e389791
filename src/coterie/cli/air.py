"""``coterie air``: what a run would have cost over links that it did not have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from coterie.cli.options import Format
from coterie.core.errors import UserError


def air(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Folders of finished runs; none lists profiles.")
    ] = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="A profile of links and machines; may be repeated. None are all.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A TOML file of more profiles.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one number, like cell.up=3.")
    ] = None,
    format: Format = "table",
) -> None:
    """Price finished runs on modelled links: seconds and joules by round. Nothing is trained again."""
    from coterie.air.profiles import profiles
    from coterie.cli.tables import print_rows

    known = profiles()
    if not runs:
        if profile or file or sets:
            raise UserError("air: name the folder of a finished run to price")
        rows = [{"profile": name, "about": one["about"], "sources": one["sources"]} for name, one in known.items()]
        print_rows(rows, format, "")
        return
    from coterie.report import make_report
    from coterie.runs.air import price

    rows = []
    for run in runs:
        found = price(run, profile or list(known), sets or (), file)
        make_report(run)
        rows += [_row(run.name, name, one["total"]) for name, one in found["profiles"].items()]
        typer.echo(f"{run / 'server' / 'air.json'}, and in {run / 'server' / 'report.html'}", err=True)
    print_rows(rows, format, "")


def _row(run: str, name: str, total: dict[str, float]) -> dict[str, Any]:
    from coterie.report.words import modelled

    shown = [part for part in ("down", "training", "across", "up") if part != "across" or total[part]]
    return {
        "run": run, "profile": name, "modelled time": modelled(total["seconds"]),
        **{part: modelled(total[part]) for part in shown},
        "joules a client": f"{total['joules_mean']:.3g}", "most": f"{total['joules_most']:.3g}",
        "of them radio": f"{total['radio'] / total['joules']:.0%}" if total["joules"] else "",
    }  # fmt: skip
