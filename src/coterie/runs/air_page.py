"""The reference of the air as a page: profiles with their numbers, links and path losses, out of the code itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.air.machine import Machine
from coterie.air.profiles import profiles
from coterie.air.shelves import LINKS
from coterie.runs.recipe_page import Section, sections

HEAD = """# The air

What `coterie air --profile NAME` computes with. A profile is a table of a TOML file: `cell` (between people and the
server), `device` (from device to device), `backhaul` (between edges and cloud), `machine` and `sharing` (`own`,
`fdma` or `tdma`). `like = "lte"` takes from another profile what is not named, and `--set cell.up=3` changes one
number. Nothing was measured by us: every number is of a source that is named, or round.

## Profiles

| profile | what | cell | device to device | machine | sources |
|---|---|---|---|---|---|
"""


def air_page() -> str:
    """The whole page, in Markdown."""
    rows = ""
    for name, plain in profiles().items():
        said = " | ".join(_said(plain[place]) for place in ("cell", "device", "machine"))
        rows += f"| `{name}` | {plain['about']} | {said} | {plain['sources']} |\n"
    return HEAD + rows + sections([Section("cell", LINKS), Section("machine", Machine)])


def _said(table: Mapping[str, Any]) -> str:
    return ", ".join(str(value) if key == "name" else f"{key} {value}" for key, value in table.items())
