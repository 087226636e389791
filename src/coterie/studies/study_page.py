"""The reference of a study's own keys, and of the file of people, as a page: out of the code itself."""

from __future__ import annotations

from coterie.data.sources.people import Person, PictureSet
from coterie.runs.recipe_page import Section, sections, table_of
from coterie.studies.recipe import Setting, Study

HEAD = """# Study

Every key of a study beside those of a [recipe](recipe.md), which stand in `common`, in a setting's `common` and
`tuning`, and in the `changes` of arms and conditions. An unknown key is an error with the nearest right name.
[How to play and write one](../how-to/run-a-study.md).
"""
PEOPLE = """
# The file of people

What the source `people` reads: `held`, the share of subjects that nobody trains on, and these tables.
"""


def study_page() -> str:
    """The whole page, in Markdown."""
    text, waiting = table_of(Study, "")
    people = [Section("sets.NAME", PictureSet), Section("people.NAME", Person)]
    return HEAD + text + sections([Section("settings.NAME", Setting), *waiting]) + PEOPLE + sections(people)
