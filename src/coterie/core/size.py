"""Heights and widths of pictures in pixels, and how people write them."""

from __future__ import annotations

import re

from coterie.core.errors import UserError

Size = tuple[int, int]
"""Height and width in pixels."""

LARGEST = 4096  # pixels a side


def read_size(text: str, where: str) -> Size:
    """What somebody wrote as width x height.

    >>> read_size("512x768", "--size")
    (768, 512)

    Raises:
        UserError: that names ``where``, if it is not two whole numbers from 1 to 4096.
    """
    found = re.fullmatch(r"\s*([1-9]\d*)\s*[x×]\s*([1-9]\d*)\s*", text, re.IGNORECASE)
    if found is None:
        raise UserError(f"{where}: {text!r} is no width and height in pixels, like 512x768")
    width, height = int(found[1]), int(found[2])
    if max(width, height) > LARGEST:
        raise UserError(f"{where}: {width}x{height}: at most {LARGEST} pixels a side")
    return height, width


def require_size(size: Size, side: int, multiple: int, where: str) -> Size:
    """The size itself, if a model can draw it.

    Args:
        size: that is wanted.
        side: of the squares that the model draws.
        multiple: that heights and widths must be of; the side itself where only squares will do.
        where: what the line of a mistake begins with.

    Raises:
        UserError: if it cannot, with the nearest that it can.
    """
    height, width = size
    if multiple == side and size != (side, side):
        raise UserError(f"{where}: {width}x{height}: this model draws squares of {side}x{side} only; leave it out")
    if height % multiple or width % multiple:
        high, wide = (max(1, round(n / multiple)) * multiple for n in size)
        raise UserError(
            f"{where}: {width}x{height}: this model draws widths and heights that are multiples of {multiple}, like "
            f"{wide}x{high}"
        )
    return size
