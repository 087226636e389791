"""The committed reference pages are what the code says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from coterie.cli import reference
from coterie.cli.app import app
from coterie.runs.annotated import annotated_toml
from coterie.runs.reading import read_recipe

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture(scope="module")
def pages():
    """By a process of its own: other tests put things on shelves."""
    say = "import json; from coterie.cli.reference import pages; print(json.dumps(pages()))"
    return json.loads(subprocess.run([sys.executable, "-c", say], check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("name", ["recipe.md", "commands.md", "rules.md"])
def test_a_page_is_up_to_date(pages, name):
    renew = "renew with: python -m coterie.cli.reference --write"
    assert (FOLDER / name).read_text(encoding="utf-8") == pages[name], renew


def test_no_page_is_forgotten(pages):
    assert {path.name for path in FOLDER.iterdir()} == set(pages)


def test_every_key_of_a_recipe_is_on_the_page_once_and_means_something(pages):
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*) \| (.*) \| (.*) \|$", pages["recipe.md"], re.MULTILINE)
    known = [key for key, *_ in rows]
    assert all(kind and meaning for _, kind, _, meaning in rows)
    table, wanted = "", []
    for line in annotated_toml(read_recipe(None, ["control={}"])).splitlines():
        if line.startswith("["):
            table = line.strip("[]") + "."
        elif key := re.match(r"(\w+) *=", line):
            wanted.append(table + key[1])
    assert len(wanted) > 50
    assert not {key for key in wanted if not key.endswith("name") or key == "name"} - set(known)
    assert all(known.count(key) == 1 for key in known if key.startswith(("form.fit.", "engine.", "data.wish")))
    headings = re.findall(r"^## (.*)$", pages["recipe.md"], re.MULTILINE)
    assert len(headings) == len(set(headings))
    for anchor in re.findall(r"\(#(\w+)\)", pages["recipe.md"]):
        assert anchor in [heading.replace(".", "") for heading in headings]


def test_every_command_is_on_the_page_with_every_option_as_it_is_typed(pages):
    sections = dict(re.findall(r"^## (coterie .*?)\n(.*?)(?=^## |\Z)", pages["commands.md"], re.MULTILINE | re.DOTALL))

    def walk(command, name):
        if hasattr(command, "commands"):
            for word, inner in command.commands.items():
                yield from walk(inner, f"{name} {word}")
        else:
            yield name, command

    made = dict(walk(typer.main.get_command(app), "coterie"))
    assert set(sections) == set(made)
    for name, command in made.items():
        for option in (p.opts[0] for p in command.params if p.opts[0].startswith("-")):
            assert f"| `{option}" in sections[name] or f", {option}" in sections[name], (name, option)


def test_stale_pages_are_named_and_renewed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reference, "pages", lambda: {"one.md": "text"})
    with pytest.raises(SystemExit, match=r"one\.md: out of date; renew with"):
        reference.main([])
    reference.main(["--write"])
    assert "one.md: renewed" in capsys.readouterr().out
    reference.main([])
    assert (tmp_path / "docs/reference/one.md").read_text() == "text"


def test_codecs_stand_where_they_can_be_used(pages):
    """Of the page, of the printed recipe and of the table of codecs."""
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (codec, uplink|uplink) \|", pages["shelves.md"], re.MULTILINE))
    both, up = ([name for name, on in rows.items() if on == where] for where in ("codec, uplink", "uplink"))
    assert (both, up) == (["cast", "int4", "int8", "raw"], ["delta", "low_rank", "top_k"])
    page = pages["recipe.md"]
    assert f"`codec.name` is one of {', '.join(f'`{name}`' for name in both)}. Without" in page
    assert f"In [uplink](#uplink) alone: {', '.join(f'`{name}`' for name in up)}." in page
    assert f"`uplink.name` is one of {', '.join(f'`{name}`' for name in sorted(rows))}." in page
    for name in rows:
        assert f'### uplink.name = "{name}"' in page
        assert (f'### codec.name = "{name}"' in page) == (name in both)
    printed = annotated_toml(read_recipe(None, ["form=fedavg", 'uplink=["delta"]', "control={}"]))
    said = dict(re.findall(r"^\[+(codec|uplink)\]+\nname = .*# one of: (.*)$", printed, re.MULTILINE))
    assert said == {"codec": ", ".join(both), "uplink": ", ".join(sorted(rows))}
