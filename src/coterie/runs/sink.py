"""The border of a sink, a tool elsewhere that is told how a run goes, and the shelf of all sinks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coterie.core.shelf import Shelf


@dataclass(frozen=True)
class Opening:
    """What a sink is told when it opens.

    Attributes:
        name: of the run: its folder's name, with ``-control`` for a control.
        key: one for each run and sink, and the same when the run is resumed; letters, digits and hyphens.
        last_step: the last that was told before the run was stopped; -1 for a new one.
        folder: ``server/`` of the run.
        settings: the few settings that name the run: never a caption, a wish or a path.
    """

    name: str
    key: str
    last_step: int
    folder: Path
    settings: Mapping[str, str | int] = field(default_factory=dict)


class Log(Protocol):
    """An open sink. All is called from one thread of the sink's own; it may raise, and it may take its time."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name; a step is a round, 0 is enrolment, the one after the last is the end."""
        ...

    def picture(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """A sheet ``(h, w, 3)`` that the server drew."""
        ...

    def close(self) -> None:
        """Writes what is left."""
        ...


class Stepwise:
    """A ``Log`` of the tools whose run takes a table of values at a step.

    Args:
        run: has ``log(values, step=...)`` and ``finish()``.
        image: wraps an array as the tool's picture.
    """

    def __init__(self, run: Any, image: Any) -> None:
        self.run, self.image = run, image

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def picture(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        self.run.log({name: self.image(pixels)}, step=step)

    def close(self) -> None:
        self.run.finish()


class Sink(Protocol):
    """Settings of a sink, which can open it."""

    @property
    def pictures(self) -> bool:
        """Whether it is shown the sheets that the server draws."""
        ...

    def open(self, opening: Opening) -> Log:
        """Connects. Imports of the tool belong in here: a missing package must not stop a run."""
        ...


SINKS: Shelf[Sink] = Shelf("coterie.runs.sinks", "sink")
