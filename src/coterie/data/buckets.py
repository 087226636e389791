"""What pictures are cut to: squares of one side, or the nearest of a few sizes of about equal area."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from coterie.core.size import Size

STEP = 64  # pixels between sizes, what other trainers use; models were trained on sizes like these
FEWEST_STEPS = 8  # in a side: small models get a finer step, or they would have no shapes between 1:1 and 1:2
LONGEST = 2  # times the short side


@dataclass(frozen=True)
class Buckets:
    """The sizes that belong to a square: none has more pixels than it, and none is longer than 2:1.

    Attributes:
        side: of the square, in pixels.
        multiple: that a backbone needs heights and widths to be of.
    """

    side: int
    multiple: int = 1

    @property
    def step(self) -> int:
        """Heights and widths are multiples of it, but for the square itself."""
        step = STEP
        while step > 1 and step * FEWEST_STEPS > self.side:
            step //= 2
        return -(-step // self.multiple) * self.multiple

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """All of them, from the tallest over the square to the widest; the square is the largest.

        >>> Buckets(512).sizes
        ((640, 320), (640, 384), (576, 448), (512, 512), (448, 576), (384, 640), (320, 640))
        """
        tall: list[Size] = []
        short = (self.side - 1) // self.step * self.step
        while short:
            fitting = self.side**2 // short // self.step * self.step
            long = min(fitting, LONGEST * short)
            if long > short:
                tall.insert(0, (long, short))
            if fitting > long:
                break
            short -= self.step
        return *tall, (self.side, self.side), *((short, long) for long, short in reversed(tall))

    def nearest(self, height: int, width: int) -> Size:
        """The size whose shape is most like that of a picture, so that the least of it is cut away.

        >>> Buckets(1024).nearest(2000, 3000), Buckets(1024).nearest(10, 10)
        ((832, 1216), (1024, 1024))
        """
        shape = math.log(height / width)
        return min(self.sizes, key=lambda size: (abs(math.log(size[0] / size[1]) - shape), -size[0] * size[1]))


Cut = int | Buckets
"""A side, for squares, or buckets."""


def size_for(cut: Cut, height: int, width: int) -> Size:
    """What a picture of ``height`` and ``width`` is cut to."""
    return cut.nearest(height, width) if isinstance(cut, Buckets) else (cut, cut)


def square_of(cut: Cut) -> int:
    """The side of the square, which is there in any case."""
    return cut.side if isinstance(cut, Buckets) else cut
