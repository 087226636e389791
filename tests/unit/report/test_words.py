"""Numbers in words."""

import pytest

from coterie.report.words import count, duration, listed, number, percent, plural, size


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (percent(0.3825), "38.2 %"), (percent(-0.0123), "−1.2 %"), (percent(-0.00001), "0.0 %"), (percent(None), "–"),
        (percent(float("nan")), "–"), (number(0.43563), "0.436"), (size(420), "420 B"), (size(581_300), "581 kB"),
        (size(8_371_142), "8.4 MB"), (size(2.5e9), "2.5 GB"), (size(999_700), "1.0 MB"), (duration(59.2), "59 s"),
        (duration(194), "3 min 14 s"), (duration(3900), "1 h 5 min"), (count(12), "twelve"), (count(13), "13"),
        (count(0), "0"), (plural(1, "round"), "1 round"), (plural(3, "round"), "3 rounds"),
        (listed(["a", "b", "c"]), "a, b and c"), (listed(["a"]), "a"), (listed([]), ""),
    ],
)  # fmt: skip
def test_words(made, wanted):
    assert made.replace("\u00a0", " ") == wanted
