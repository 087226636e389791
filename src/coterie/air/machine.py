"""What a client computes with: seconds and joules of floating-point operations (algorithms 12.3, device view)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Gt, Le


@dataclass(frozen=True)
class Machine:
    """A client's processor; how much slower one client is than another is the run's own (``devices.spread``).

    Attributes:
        gflops: billions of floating-point operations a second that are printed on the box.
        used: share of them that training reaches.
        watts: while it trains.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    gflops: Annotated[float, Gt(0)] = 1000.0
    used: Annotated[float, Gt(0), Le(1)] = 0.3
    watts: Annotated[float, Gt(0)] = 5.0

    def seconds(self, operations: float, pace: float = 1.0) -> float:
        """Of so many operations, for a client that needs ``pace`` times a median one's time."""
        return operations * pace / (self.gflops * 1e9 * self.used)

    def joules(self, seconds: float) -> float:
        """Of so many seconds of training."""
        return self.watts * seconds
