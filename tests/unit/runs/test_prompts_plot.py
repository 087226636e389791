"""The plot of the audit of prompts: every label can be read, and is near its dot."""

import json
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from coterie.runs.prompts_plot import LETTER, LINE, plot

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = Path(__file__).parents[3] / "docs" / "results"
SHIFT = {"start": 0.0, "middle": 0.5, "end": 1.0}


def row(mode, twenty, named):
    return {"mode": mode, "twenty": {"mean": twenty}, "named": {"mean": named}}


CROWDED = [row(f"project {k} + sign", 0.4 + 0.011 * k, 1.0 - 0.02 * (k % 2)) for k in range(8)]
COMMITTED = json.loads((RESULTS / "prompts.json").read_text())["modes"]


@pytest.mark.parametrize("rows", [COMMITTED, CROWDED, [row("plain", 0.5, 0.0), row("int8", 0.5, 0.01)]])
def test_no_label_lies_over_a_dot_or_another_label(rows):
    drawing = ElementTree.fromstring(plot(rows))
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in drawing.iter(f"{SVG}circle")]
    boxes = []
    for text in drawing.iter(f"{SVG}text"):
        if text.get("class") == "label":
            length, middle = LETTER * len(text.text), float(text.get("y")) - 5
            left = float(text.get("x")) - SHIFT[text.get("text-anchor")] * length
            boxes.append((left, left + length, middle - LINE / 2 + 1, middle + LINE / 2 - 1))
    assert len(boxes) == len(dots)
    assert not [pair for pair in combinations(boxes, 2) if meet(*pair)]
    around = [(a - 5, a + 5, b - 5, b + 5) for a, b in dots]
    assert not [(box, dot) for box in boxes for dot in around if meet(box, dot)]


def meet(one, other):
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def test_the_committed_plot_is_the_one_of_the_committed_numbers():
    assert (RESULTS / "prompts.svg").read_text() == plot(COMMITTED)
