import re
import xml.etree.ElementTree as ET
from math import log10

import pytest

from coterie.studies.page import _three
from coterie.studies.plots import curves


def ends(plot):
    """Where each line ends, from left."""
    points = [part.get("points") for part in ET.fromstring(plot).iter() if part.get("points")]
    return [float(re.findall(r"([\d.]+),", line)[-1]) for line in points]


def words(plot):
    return [text.text for text in ET.fromstring(plot).iter() if text.tag.endswith("text")]


def test_lines_of_very_different_lengths_have_powers_of_ten_below_them():
    near, far = [(0.5, 3.0), (2.0, 2.0)], [(50.0, 3.0), (200.0, 1.0)]
    plot = curves({"far": far, "near": near}, "MB", "loss")
    assert {"1", "10", "100"} <= set(words(plot))
    short, long = sorted(ends(plot))
    assert (short - 70) / (long - 70) == pytest.approx(log10(2 / 0.5) / log10(200 / 0.5), abs=0.01)


def test_lines_of_like_lengths_and_rounds_have_an_even_scale():
    plot = curves({"one": [(0.5, 3.0), (4.0, 2.0)], "two": [(1.0, 3.0), (8.0, 1.0)]}, "MB", "loss")
    short, long = sorted(ends(plot))
    assert (short - 70) / (long - 70) == pytest.approx(0.5, abs=0.01)
    rounds = curves({"one": [(1.0, 3.0), (2.0, 2.0)], "two": [(1.0, 3.0), (40.0, 1.0)]}, "round", "loss")
    short, long = sorted(ends(rounds))
    assert (short - 70) / (long - 70) == pytest.approx(1 / 39, abs=0.01)


def test_three_digits_without_powers_of_ten():
    said = {0: "0", 0.0136: "0.0136", 0.22: "0.220", 2.91: "2.91", 117: "117", 220000: "220,000"}
    assert {x: _three(x) for x in said} == said
