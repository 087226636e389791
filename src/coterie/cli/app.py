"""All commands in the order of ``--help``: what they take and what they print. What they do is elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from coterie.cli.air import air
from coterie.cli.audit import audit_app
from coterie.cli.data import data_app
from coterie.cli.exchange import export, import_file, merge, verify
from coterie.cli.generate import generate
from coterie.cli.options import AsJson, BackboneOption, Format, Memory, RunArgument, Sets
from coterie.cli.pretrain import pretrain
from coterie.core.errors import Halted, Interrupted, UserError, nearest

app = typer.Typer(
    name="coterie",
    help="Many people teach one frozen picture or language model together, and each keeps a style of their own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
recipe_app = typer.Typer(help="Look at recipes.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
app.add_typer(data_app, name="data")
app.add_typer(audit_app, name="audit")
app.command()(air)


@app.command()
def run(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="A TOML file; without one, the quick start.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; otherwise a new one below runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on with a run that was stopped.")] = None,
    memory: Memory = "",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train everybody's adapters, draw, and write the report."""
    if resume is not None and (recipe is not None or sets or out is not None or memory):
        raise UserError("--resume goes on with a run as it was begun; it takes no recipe, --set, --memory or --out")

    given = _with_memory(sets, memory)

    def read() -> Any:
        from coterie.runs.reading import read_recipe

        return read_recipe(recipe, given)

    _play(read, str(recipe or ("--set" if given else "quick start")), out, resume, as_json)


def _with_memory(sets: list[str] | None, memory: str) -> list[str]:
    return [*(sets or ()), *([f"engine.memory={memory}"] if memory else [])]


def _play(read: Callable[[], Any], where: str, out: Path | None, resume: Path | None, as_json: bool) -> None:
    """A new run of the recipe that ``read`` gives, written ``where``, or the rest of one, with its report."""
    from coterie.cli.progress import listener

    path = resume
    with listener(as_json) as heard:
        # Importing torch takes seconds, in which something should be seen already.
        from coterie.report import make_report
        from coterie.runs.exchange import export_command
        from coterie.runs.folder import open_run, place_for
        from coterie.runs.run import resume as go_on
        from coterie.runs.run import start

        try:
            if path is not None:
                go_on(open_run(path).path, heard.tell, heard.progress)
            else:
                recipe = read()
                path = place_for(recipe.name, out)
                start(recipe, path, heard.tell, heard.progress, where=where)
        except KeyboardInterrupt as stop:
            raise Interrupted(f"stopped; finished rounds are saved, go on with: coterie run --resume {path}") from stop
        except Halted as stop:
            raise UserError(f"{stop}; finished rounds are saved, go on with: coterie run --resume {path}") from stop
        heard.tell("report", path=str(make_report(path)))
        if command := export_command(path):
            heard.tell("next", command=command)


Folders = Annotated[
    list[Path],
    typer.Argument(
        metavar="FOLDER...", help="Folders of pictures, or of documents for a language model; each becomes one adapter."
    ),
]
Triggers = Annotated[
    list[str] | None,
    typer.Option("--trigger", metavar="[NAME=]WORD", help="Word before every caption, of one folder or of all."),
]
Steps = Annotated[int, typer.Option(help="Training steps of each adapter.", min=1)]
Rank = Annotated[int, typer.Option(help="Of the adapters.", min=1, max=1024)]
Batch = Annotated[int, typer.Option(help="Pictures in a step, or windows of text.", min=1)]
Buckets = Annotated[bool, typer.Option("--buckets", help="Pictures keep about their shapes; else they are cut square.")]
HeldOutShare = Annotated[
    float, typer.Option(help="Share of the pictures or documents kept to measure on.", min=0, max=0.9)
]


@app.command()
def train(
    folders: Folders,
    backbone: BackboneOption = "doodle",
    trigger: Triggers = None,
    steps: Steps = 200,
    rank: Rank = 8,
    batch: Batch = 4,
    held_out: HeldOutShare = 0.1,
    buckets: Buckets = False,
    memory: Memory = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; otherwise a new one below runs/.")] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train a LoRA for every folder, side by side over one backbone; nobody else takes part."""

    def read() -> Any:
        from coterie.runs.train import training_recipe

        given = _with_memory(sets, memory)
        return training_recipe(folders, backbone, steps, rank, batch, trigger or (), held_out, given, buckets)

    _play(read, "train", out, None, as_json)


@app.command()
def new(
    folders: Folders,
    backbone: BackboneOption = "doodle",
    trigger: Triggers = None,
    buckets: Buckets = False,
    out: Annotated[Path, typer.Option(help="The new file.")] = Path("recipe.toml"),
    sets: Sets = None,
) -> None:
    """Write what `coterie train` does as a recipe with every key explained, to be changed and run."""
    from coterie.engines.disk import write_bytes
    from coterie.runs.annotated import annotated_toml
    from coterie.runs.reading import for_folder
    from coterie.runs.train import training_recipe

    if out.exists():
        raise UserError(f"{out}: is there already; choose another name with --out FILE")
    made = training_recipe(folders, backbone, triggers=trigger or (), sets=sets or (), buckets=buckets)
    write_bytes(out, annotated_toml(for_folder(made, out.parent)).encode())
    typer.echo(f"{out}: look at it, change it, then: coterie run {out}")


@app.command("list")
def list_things(
    what: Annotated[
        str,
        typer.Argument(help="Folder that holds runs; or forms, aggregators, codecs, ...; shelves names all of these."),
    ] = "runs",
    format: Format = "table",
) -> None:
    """List the runs in a folder, or what a recipe can name."""
    from coterie.cli.tables import print_rows
    from coterie.runs.show import summaries

    if Path(what).is_dir() or what == "runs" or Path(what).name != what:
        print_rows(summaries(Path(what)), format, "There is no run here yet; make one with: coterie run")
        return
    from coterie.runs.offers import KINDS, counts, offered

    if what != "shelves" and what not in KINDS:
        raise UserError(f"{what}: no such folder, and nothing to list{nearest(what, ['shelves', *KINDS])}")
    print_rows(counts() if what == "shelves" else offered(what), format, "", rare=["default"])


@app.command()
def show(run: RunArgument, format: Format = "table") -> None:
    """Show what a run found, for every person."""
    from coterie.cli.tables import print_details
    from coterie.runs.show import details

    print_details(details(run), format)


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of runs; the first is the baseline.")
    ],
    format: Format = "table",
) -> None:
    """Show runs side by side: numbers, the keys that differ, and every person against themselves."""
    from coterie.cli.tables import print_comparison
    from coterie.runs.compare import compare as side_by_side

    print_comparison(side_by_side(runs), format)


@app.command()
def study(
    recipe: Annotated[Path, typer.Argument(metavar="STUDY", help="A TOML file of arms and hypotheses.")],
    setting: Annotated[str, typer.Option(help="How much is played: one of the study's settings.")] = "quick",
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the data files that it names.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of its runs; otherwise runs/study-NAME-SETTING.")] = None,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the pages.")] = Path("docs/results"),
    arms: Annotated[str, typer.Option(help="Only these, with commas between; base is always played.")] = "",
    seeds: Annotated[str, typer.Option(help="Only these, with commas between.")] = "",
    workers: Annotated[int, typer.Option(help="Runs side by side; 0 is one for each core.", min=0, max=64)] = 0,
    listed: Annotated[bool, typer.Option("--list", help="Say what would be played and how long it takes.")] = False,
) -> None:
    """Play every arm with every seed and judge what was claimed beforehand; a study that was stopped goes on."""
    from coterie.studies.chosen import chosen
    from coterie.studies.study import listing
    from coterie.studies.study import study as play

    picked = chosen(recipe, setting, data)
    names = [name.strip() for name in arms.split(",") if name.strip()]
    try:
        numbers = [int(word) for word in seeds.split(",") if word.strip()]
    except ValueError as error:
        raise UserError(f"--seeds {seeds}: wanted whole numbers with commas between, like 0,1,2") from error
    if listed:
        for line in listing(picked, names, numbers):
            typer.echo(line)
        return
    folder = out or Path("runs") / f"study-{picked.study.name}-{setting}"
    try:
        play(picked, folder, results, names, numbers, lambda line: print(line, flush=True), workers)
    except KeyboardInterrupt as stop:
        raise Interrupted("stopped; what is finished is saved, go on with the same command") from stop


@app.command()
def doctor(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="Checked too, with its data.")] = None,
    sets: Sets = None,
    format: Format = "table",
) -> None:
    """Check the machine, the packages, the backbone and a recipe's data before a run."""
    from coterie.cli.tables import print_checks
    from coterie.runs.doctor import examine
    from coterie.runs.reading import read_recipe

    checks = examine(read_recipe(recipe, sets or ()))
    print_checks(checks, format)
    failed = [check.what for check in checks if not check.passed]
    if failed:
        raise UserError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")


@app.command()
def adapters(run: RunArgument, format: Format = "table") -> None:
    """List the adapters of a run: the server's and those that people keep.

    One that cannot be read has its reason beside it. The exit code is 0 while any can be read, and 2 if none can.
    """
    from coterie.cli.tables import print_rows
    from coterie.runs.generate import adapter_rows

    rows = adapter_rows(run)
    print_rows(rows, format, "This run has no adapters yet.", rare=["problem"])
    if rows and all(row["problem"] for row in rows):
        raise UserError(f"{run}: none of its {len(rows)} adapters can be read")


app.command()(generate)
app.command()(export)
app.command("import")(import_file)
app.command()(merge)
app.command()(verify)


@app.command()
def report(run: RunArgument) -> None:
    """Write the report of a run again."""
    from coterie.report import make_report
    from coterie.runs.folder import open_run

    typer.echo(str(make_report(open_run(run).path)))


app.command()(pretrain)


@recipe_app.command("show")
def recipe_show(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="A TOML file; without one, the quick start.")
    ] = None,
    sets: Sets = None,
    format: Annotated[str, typer.Option("--format", help="How to print: toml or json.")] = "toml",
) -> None:
    """Print a recipe with every key and what it means."""
    from coterie.runs.annotated import annotated_toml
    from coterie.runs.plain import as_plain
    from coterie.runs.reading import read_recipe

    read = read_recipe(recipe, sets or ())
    typer.echo(json.dumps(as_plain(read), indent=1) if format == "json" else annotated_toml(read), nl=False)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Shown by ``--help`` through the app's own text."""
    if version:
        from coterie import __version__

        typer.echo(f"coterie {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        sys.exit(0)
