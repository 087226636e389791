"""TensorBoard: event files in the run folder or elsewhere; ``tensorboard --logdir runs`` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from coterie.core.place import Place
from coterie.runs.sink import SINKS, Opening


@SINKS.register("tensorboard")
@dataclass(frozen=True)
class TensorBoard:
    """Writes event files; nothing leaves the machine.

    Attributes:
        folder: for the files of all runs, each in a folder of its name; empty is ``server/tensorboard`` in the run.
        pictures: whether sheets drawn by the server are written too.
    """

    folder: Annotated[str, Place()] = ""
    pictures: bool = True

    def open(self, opening: Opening) -> Files:
        from torch.utils.tensorboard import SummaryWriter

        where = Path(self.folder) / opening.key if self.folder else opening.folder / "tensorboard"
        # What was written of steps after the last one known, just before a kill, is taken back.
        purge = opening.last_step + 1 if opening.last_step >= 0 else None
        writer: Any = SummaryWriter(str(where), purge_step=purge)
        writer.add_text("recipe", "  \n".join(f"{k}: {v}" for k, v in opening.settings.items()), 0)
        return Files(writer)


class Files:
    """The event files of one run.

    Args:
        writer: torch's ``SummaryWriter``.
    """

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def picture(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        self.writer.add_image(name, pixels, step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
