"""Numbers and names in plain words."""

from __future__ import annotations

import math

COUNTS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
FORMS = {
    "clustered": "One adapter a cluster", "fedavg": "One adapter for all", "local": "Everybody alone",
    "ifca": "The adapter that suits best", "sequential": "One adapter from device to device",
    "rooted": "One root for all, one part a cluster",
    "hierarchical": "One adapter by way of edges", "scaffold": "One adapter, drift corrected",
    "split_steps": "One adapter, noise at the server", "split": "One model in two places",
}  # fmt: skip
GROUPINGS = {
    "wishes": "grouped by what they wished for in their own words",
    "weights": "grouped by how their first trained adapters differ",
    "both": "grouped by what they wished for and by how their first trained adapters differ",
    "oracle": "grouped by their true styles, which only a simulation knows",
    "random": "grouped at random",
    "single": "all in one group",
    "given": "in groups that were given",
}


def points(share: float) -> str:
    """A signed difference of two shares, in hundredths: ``+3.7``."""
    return f"{100 * share:+.1f}".replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one: ``38.2 %``; a dash for what is not known."""
    if share is None or not math.isfinite(share):
        return "–"
    text = f"{100 * share:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−") + "\u00a0%"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def difference(value: float) -> str:
    """A signed difference of any size in about two digits.

    >>> difference(0.01234), difference(-0.00002), difference(20.0)
    ('+0.012', '−0.00002', '+20')
    """
    digits = max(0, 1 - math.floor(math.log10(abs(value)))) if abs(value) >= 1e-5 else 5
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if digits else text


def round3(value: float | None) -> str:
    """A number of any size in about three digits: ``8.31``, ``412``, ``1,830``; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(max(abs(value), 1e-2))))}f}"


def size(num_bytes: float | None) -> str:
    """Decimal bytes: ``581 kB``."""
    if num_bytes is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if abs(num_bytes) < 999.5:
            return f"{num_bytes:.0f}\u00a0{unit}" if unit != "MB" or num_bytes >= 100 else f"{num_bytes:.1f}\u00a0MB"
        num_bytes /= 1000
    return f"{num_bytes:.1f}\u00a0GB"


def duration(seconds: float | None) -> str:
    """Seconds in words: ``59 s``, ``4 min 12 s``, ``1 h 5 min``."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}\u00a0s"
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60}\u00a0s"
    return f"{whole // 3600}\u00a0h {whole % 3600 // 60}\u00a0min"


def count(n: int) -> str:
    """A small number as a word."""
    return COUNTS[n] if 1 < n < len(COUNTS) or n == 1 else str(n)


def plural(n: int, one: str, many: str = "") -> str:
    """A counted noun: ``1 round``, ``3 rounds``."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def form_name(form: str) -> str:
    """What a form does, in a few words."""
    return FORMS.get(form, f"The form “{form}”")


def listed(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def few(items: list[str], most: int = 12) -> str:
    """A list in words that ends with how many more there are.

    >>> few(["ana", "bo", "cy", "di"], most=3)
    'ana, bo and 2 more'
    """
    return listed(items) if len(items) <= most else f"{', '.join(items[: most - 1])} and {len(items) - most + 1} more"


def modelled(seconds: float) -> str:
    """A duration of which small parts matter as well.

    >>> modelled(0.0213), modelled(4.26), modelled(754.0)
    ('21 ms', '4.3 s', '12 min 34 s')
    """
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


FILTERS = {
    "percent": percent, "points": points, "number": number, "size": size, "duration": duration, "plural": plural,
    "listed": listed, "few": few, "difference": difference, "modelled": modelled, "round3": round3,
}  # fmt: skip
"""By their names in templates."""
