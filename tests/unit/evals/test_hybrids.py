"""A picture of two styles at once."""

import numpy as np
import pytest

from coterie.evals.hybrids import hybrid
from coterie.runs.audit_hybrids import FULL, beats_single, means


class Judge:
    """Reads its answer from a picture's first pixel."""

    def __init__(self, classes):
        self.classes = classes

    def probabilities(self, pictures):
        return np.array([[p[0, 0, c] / 100 for c in range(len(self.classes))] for p in pictures])

    def names(self, pictures):
        return [self.classes[i] for i in self.probabilities(pictures).argmax(1)]


def picture(*shares):
    made = np.zeros((4, 4, 3), np.uint8)
    made[0, 0, : len(shares)] = shares
    return made


def test_the_smaller_of_the_two_counts_picture_by_picture():
    """One picture of each style is no hybrid, though their mean is half of both."""
    judge = Judge(("ink", "neon", "other"))
    apart = np.stack([picture(100, 0, 0), picture(0, 100, 0)])
    both = np.stack([picture(50, 50, 0), picture(40, 60, 0)])
    said = [hybrid(some, ("ink", "neon"), ["neon", "neon"], judge, judge) for some in (apart, both)]
    assert (said[0].both, said[0].first, said[0].second) == (0.0, 0.5, 0.5)
    assert said[1].both == pytest.approx(0.45)
    assert said[0].subject == 0.5
    assert said[0].pictures == 2


def test_a_way_must_beat_the_better_of_the_two_alone():
    said = {"a": 0.1, "b": 0.3, "merge": 0.2, "composite": 0.4, "switch": 0.3, "schedule": 0.0, FULL: 0.31}
    rows = [{"pair": "a+b", "way": w, "both": both, "subject": 1.0, "pictures": 4} for w, both in said.items()]
    assert beats_single(rows) == {"merge": 0, "composite": 1, "switch": 0, "schedule": 0, FULL: 1}
    assert means(rows)[0] == {
        "way": "best single",
        "both": 0.3,
        "subject": 1.0,
        "pairs": 1,
        "pictures": 4,
        "better": None,
    }
