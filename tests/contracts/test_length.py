"""A form is read beside its paper, so it stands on one screen or two."""

from pathlib import Path

import pytest

import coterie.federation.forms as forms

FILES = sorted(path for path in Path(forms.__file__).parent.glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_form_has_at_most_120_lines(path):
    assert len(path.read_text().splitlines()) <= 120
