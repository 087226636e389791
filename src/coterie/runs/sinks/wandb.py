"""Weights & Biases: into the run folder for ``wandb sync``, or to its server at once where a recipe asks for that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from coterie.core.errors import UserError
from coterie.runs.sink import SINKS, Opening, Stepwise

FINISH_SECONDS = 10  # its own limit for sending what is left; a run does not wait much longer


@SINKS.register("wandb")
@dataclass(frozen=True)
class WandB:
    """Keeps what is told in ``server/wandb`` of the run, or sends it.

    Attributes:
        project: at W&B.
        entity: whose project; empty is your own.
        mode: ``offline`` writes files that ``wandb sync`` sends later; ``online`` sends at once.
        pictures: whether sheets drawn by the server are sent too.
    """

    project: str = "coterie"
    entity: str = ""
    mode: Literal["offline", "online"] = "offline"
    pictures: bool = True

    def open(self, opening: Opening) -> Stepwise:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        if self.mode == "online" and not wandb.api.api_key:  # it would ask on the terminal, and wait
            raise UserError("not logged in; do it once with: wandb login")
        # Its habits of sending the terminal's output, the command with its arguments, the code and the machine are off.
        quiet = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_meta=True, x_disable_stats=True,
            x_disable_machine_info=True, x_save_requirements=False, finish_timeout=FINISH_SECONDS,
        )  # fmt: skip
        run = wandb.init(
            project=self.project, entity=self.entity or None, name=opening.name, id=opening.key, mode=self.mode,
            dir=str(opening.folder), config=dict(opening.settings), resume="allow", reinit="create_new", settings=quiet,
        )  # fmt: skip
        return Stepwise(run, wandb.Image)
