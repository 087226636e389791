"""The reference pages in ``docs/reference``, made of the code: ``python -m coterie.cli.reference --write``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, getdoc, signature
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from coterie.cli.app import app
from coterie.engines.disk import write_bytes

FOLDER = Path("docs/reference")
HEAD = """# Commands

What `coterie COMMAND --help` says. Bad input is one line and exit code 2; a run that was stopped with Ctrl-C ends with
exit code 130 and says how to go on. `coterie --version` prints the version.
"""
WORDS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def pages() -> Mapping[str, str]:
    """Every page by the name of its file."""
    from coterie.runs.air_page import air_page
    from coterie.runs.offers import shelves_page
    from coterie.runs.recipe_page import recipe_page
    from coterie.runs.rules_page import rules_page
    from coterie.studies.study_page import study_page

    return {
        "recipe.md": recipe_page(),
        "commands.md": commands_page(),
        "air.md": air_page(),
        "rules.md": rules_page(),
        "shelves.md": shelves_page(),
        "study.md": study_page(),
    }


def commands_page() -> str:
    """Every command with what it takes, in Markdown."""
    return HEAD + "".join(_section(name, made) for name, made in _commands(app, "coterie"))


def _commands(group: typer.Typer, before: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Full names and functions, in the order in which they were written."""
    for info in group.registered_commands:
        assert info.callback is not None
        yield f"{before} {info.name or info.callback.__name__}", info.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from _commands(inner.typer_instance, f"{before} {inner.name}")


def _section(name: str, made: Callable[..., Any]) -> str:
    arguments, rows = "", ""
    hints = get_type_hints(made, include_extras=True)
    for key, parameter in signature(made).parameters.items():
        hint = hints[key]
        assert get_origin(hint) is Annotated
        kind, info = get_args(hint)
        kind, many = _one_of(kind)
        help = (info.help or "").replace("|", "\\|")
        again = " May be repeated." if many and isinstance(info, OptionInfo) and "repeated" not in help else ""
        about, default = f"{help}{again}{_range(info)}", _default(parameter.default)
        if isinstance(info, ArgumentInfo):
            word = info.metavar or key.upper()
            word = word if parameter.default is Parameter.empty or word.startswith("[") else f"[{word}]"
            arguments += f" {word}"
            rows += f"| `{word}` | {about} | {default} |\n"
        else:
            option = _spelled(key, info) + ("" if kind is bool else f" {info.metavar or WORDS[kind]}")
            rows += f"| `{option}` | {about} | {default} |\n"
    usage = f"{name}{arguments}{' [OPTIONS]' if '| `-' in rows else ''}"
    told = (getdoc(made) or "").replace("``", "`")
    table = f"\n| word | meaning | default |\n|---|---|---|\n{rows}" if rows else ""
    return f"\n## {name}\n\n```text\n{usage}\n```\n\n{told}\n{table}"


def _one_of(kind: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    kinds = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) is list:
        return kinds[0], True
    return _one_of(kinds[0]) if kinds else (kind, False)


def _spelled(key: str, info: OptionInfo) -> str:
    """As it is typed; typer keeps the first spelling of an annotated option where others keep the default."""
    given = [word for word in (info.default, *(info.param_decls or ())) if isinstance(word, str) and word[:1] == "-"]
    return ", ".join(given) or f"--{key.replace('_', '-')}"


def _range(info: ArgumentInfo | OptionInfo) -> str:
    ends = [f"{word} {end:g}" for word, end in (("at least", info.min), ("at most", info.max)) if end is not None]
    return f" ({', '.join(ends)})" if ends else ""


def _default(value: Any) -> str:
    if value is Parameter.empty:
        return "must be given"
    return "" if value is None or value is False or value == "" else f"`{value}`"


def main(words: list[str]) -> None:
    """Says whether the pages are what the code says, or with ``--write`` makes them so."""
    stale = [name for name, text in pages().items() if not _is_on_disk(FOLDER / name, text)]
    if "--write" in words:
        for name in stale:
            write_bytes(FOLDER / name, pages()[name].encode())
            print(f"{FOLDER / name}: renewed")
    elif stale:
        sys.exit(f"{', '.join(stale)}: out of date; renew with: python -m coterie.cli.reference --write")


def _is_on_disk(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main(sys.argv[1:])
