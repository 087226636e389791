"""Sizes as people write them."""

from __future__ import annotations

import re

from coterie.core.errors import UserError

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def memory_bytes(text: str) -> int:
    """Bytes of a size like ``3GB`` or ``800 MiB``.

    Raises:
        UserError: if it is no size.

    >>> memory_bytes("800 MiB")
    838860800
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B)\s*", text, re.IGNORECASE)
    if not match:
        raise UserError(f"{text!r} is no size; wanted a number and a unit, like 3GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
