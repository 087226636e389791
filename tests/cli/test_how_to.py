"""Every command in the pages exists, with its options; settings make a recipe, snippets run, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from coterie.air.profiles import air_of
from coterie.cli.app import app
from coterie.runs.reading import make_recipe, read_recipe

DOCS = Path(__file__).parents[2] / "docs"
KINDS = ("how-to", "explanation", "reference")
PAGES = [DOCS / "README.md", *(page for kind in KINDS for page in sorted((DOCS / kind).glob("*.md")))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def lines():
    found = [
        (page.name, line)
        for page in PAGES
        for text in blocks(page, "", "sh", "bash", "console")
        for line in text.replace("\\\n", " ").splitlines()
        if line.startswith("coterie ")
    ]
    assert len(found) >= 6
    return found


def parsed(words):
    """The settings a command would be called with; raises where one is unknown or missing."""
    command = typer.main.get_command(app)
    context = command.make_context("coterie", list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return name, context.params


@pytest.mark.parametrize(("page", "line"), lines(), ids=str)
def test_every_command_parses(page, line):
    name, settings = parsed(shlex.split(line, comments=True)[1:])
    assert name
    if settings.get("sets") and name == "air":
        air_of((settings["profile"] or ["lte"])[0], settings["sets"])
    elif settings.get("sets"):
        read_recipe(None, settings["sets"])


def test_what_is_wrong_would_be_noticed():
    with pytest.raises(Exception, match="No such command"):
        parsed(["doctr"])
    with pytest.raises(Exception, match="No such option"):
        parsed(["compare", "a", "b", "--fromat", "json"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_and_links_are_right(page, tmp_path):
    import tomllib

    for text in blocks(page, "toml"):
        tables = tomllib.loads(text)
        if any("like" in table for table in tables.values() if isinstance(table, dict)):  # profiles of the air
            (tmp_path / "air.toml").write_text(text)
            assert [air_of(name, file=tmp_path / "air.toml") for name in tables]
        else:
            make_recipe(tables, page.name)
    for text in blocks(page, "python") if page.parent.name == "explanation" else ():
        exec(compile(text, page.name, "exec"), {})
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_entrance_leads_to_every_page():
    entrance = (DOCS / "README.md").read_text()
    for page in PAGES[1:]:
        assert f"({page.relative_to(DOCS)})" in entrance
    assert "(docs/README.md)" in (DOCS.parent / "README.md").read_text()
