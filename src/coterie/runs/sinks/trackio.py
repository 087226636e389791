"""Trackio: a local database that ``trackio show`` draws."""

from __future__ import annotations

import os
from dataclasses import dataclass

from coterie.runs.sink import SINKS, Opening, Stepwise


@SINKS.register("trackio")
@dataclass(frozen=True)
class Trackio:
    """Writes to Trackio's folder on this machine, or wherever its ``TRACKIO_...`` variables say.

    Attributes:
        project: at Trackio.
        pictures: whether sheets drawn by the server are written too.
    """

    project: str = "coterie"
    pictures: bool = True

    def open(self, opening: Opening) -> Stepwise:
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        import trackio
        import trackio.run
        import trackio.utils

        # It talks on standard output, where ``--json`` writes; a name of its module hides the builtin one from it.
        for module in (trackio, trackio.run, trackio.utils):
            vars(module)["print"] = lambda *words, **settings: None
        run = trackio.init(
            project=self.project, name=opening.key, config=dict(opening.settings), resume="allow", embed=False,
            auto_log_gpu=False, auto_log_cpu=False,
        )  # fmt: skip
        return Stepwise(run, trackio.Image)
