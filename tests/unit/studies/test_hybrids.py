"""Pages of mixes: what is compared with what, and when a way is said to draw hybrids."""

import json

import pytest

from coterie.runs.audit_hybrids import FULL
from coterie.studies.hybrids import SINGLE, judged, write_hybrids

WAYS = ("merge", "composite", "switch", "schedule", FULL)


def audit(seed, both, subject=lambda way: 0.5, pairs=("ink+neon", "ink+tiles", "neon+tiles")):
    """What a run of this seed found; ``both`` gives a number for a way in a pair, ``a`` and ``b`` are the two alone."""
    rows = [
        {"pair": "a+b", "styles": styles, "way": way, "both": both(way, styles), "subject": subject(way)}
        for styles in pairs
        for way in ("a", "b", *WAYS)
    ]
    return {"rows": rows, "seed": seed, "prompts": 8, "draws": 2}


def better(way, styles):
    return {"a": 0.1, "b": 0.2, "merge": 0.3, "composite": 0.15, FULL: 0.4}.get(way, 0.2) + 0.01 * len(styles)


def test_a_way_must_beat_the_better_of_the_two_alone():
    found = {way.name: way for way in judged([audit(0, better), audit(1, better)])}
    assert found[SINGLE].both == pytest.approx(0.29)
    assert {name for name, way in found.items() if way.supported} == {"merge", FULL}
    assert found["composite"].pairs == pytest.approx([-0.05] * 3)
    assert found["switch"].mean == 0
    assert not found["switch"].supported


def test_a_way_that_loses_the_subject_is_no_way():
    (_, merge, *_, full) = judged([audit(0, better, lambda way: 0.3 if way == FULL else 0.5)])
    assert (merge.supported, full.supported) == (True, False)


def test_only_pairs_that_every_run_has_are_compared():
    found = judged([audit(0, better), audit(1, better, pairs=("ink+neon", "ink+tiles"))])
    assert {len(way.pairs) for way in found} == {2}


@pytest.mark.parametrize(
    ("both", "wanted"), [(better, "mixed so: `merge`, `merge`, both fully"), (lambda *_: 0.1, "No way")]
)
def test_the_page_says_what_was_found(tmp_path, both, wanted):
    page = write_hybrids({"one": audit(0, both), "two": audit(1, both)}, tmp_path)
    text = page.read_text()
    assert wanted in text
    text = " ".join(text.split())
    assert "3 pairs of styles in 2 runs (seeds 0, 1), 8 prompts, 2 of each for every way: 96 pictures a way" in text
    assert "a bootstrap over seeds and pairs." in text
    alone = write_hybrids({"one": audit(0, both)}, tmp_path / "alone").read_text()
    assert "over pairs alone: there is one seed, and how much another would differ is not known." in " ".join(
        alone.split()
    )
    assert "![ink and neon](hybrids-ink-neon.png)" in text
    assert (tmp_path / "hybrids.svg").read_text().startswith("<svg")
    assert set(json.loads((tmp_path / "hybrids.json").read_text())) == {"one", "two"}
