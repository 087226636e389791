"""Is a picture of two styles at once? Algorithms 1.5: ``min(p_a, p_b)`` of a style classifier, with prompt agreement.

A picture that is all of one style scores nothing, and so does one of neither. Half of each would score 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coterie.evals.classifier import Classifier

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Hybrid:
    """What judges say of pictures that should be of two styles.

    Attributes:
        both: mean over pictures of the smaller of the two styles' probabilities.
        first: mean probability of the first style.
        second: and of the second.
        subject: share of pictures of the right group of subjects.
        pictures: that were judged.
    """

    both: float
    first: float
    second: float
    subject: float
    pictures: int


def hybrid(
    pictures: Pixels, styles: tuple[str, str], subjects: Sequence[str], style: Classifier, subject: Classifier
) -> Hybrid:
    """Judges pictures ``(n, side, side, 3)``.

    Args:
        pictures: drawn.
        styles: two classes of ``style``.
        subjects: the class of ``subject`` that each picture was asked to be of.
        style: tells styles apart, trained on real pictures.
        subject: tells groups of subjects apart.
    """
    found = style.probabilities(pictures)
    first, second = (found[:, style.classes.index(name)] for name in styles)
    right = [said == wanted for said, wanted in zip(subject.names(pictures), subjects, strict=True)]
    return Hybrid(
        both=float(np.minimum(first, second).mean()),
        first=float(first.mean()),
        second=float(second.mean()),
        subject=float(np.mean(right)),
        pictures=len(pictures),
    )
