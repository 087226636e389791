"""MLflow: a run in a tracking store, local or a server's."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coterie.runs.sink import SINKS, Opening

TAG = "coterie.key"


@SINKS.register("mlflow")
@dataclass(frozen=True)
class MLflow:
    """Writes to a tracking store.

    Attributes:
        experiment: that the run belongs to; made where there is none.
        uri: of the store, like ``sqlite:///mlflow.db``; empty is what MLflow itself would take.
        pictures: whether sheets drawn by the server are stored too.
    """

    experiment: str = "coterie"
    uri: str = ""
    pictures: bool = True

    def open(self, opening: Opening) -> Entry:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        # The client, not mlflow.start_run: that would add the user's name and the program's path.
        client = MlflowClient(tracking_uri=self.uri or None)
        known = client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else client.create_experiment(self.experiment)
        before = client.search_runs([experiment], f"tags.`{TAG}` = '{opening.key}'")
        if before:
            return Entry(client, before[0].info.run_id)
        run = client.create_run(experiment, run_name=opening.name, tags={TAG: opening.key})
        for key, value in opening.settings.items():
            client.log_param(run.info.run_id, key, value)
        return Entry(client, run.info.run_id)


class Entry:
    """One run in the store.

    Args:
        client: MLflow's.
        run_id: of the run.
    """

    def __init__(self, client: Any, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(allowed(name), value, now, step) for name, value in values.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def picture(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        self.client.log_image(self.run_id, pixels, artifact_file=f"{allowed(name)}/{step:03d}.png")

    def close(self) -> None:
        self.client.set_terminated(self.run_id)


def allowed(name: str) -> str:
    """A metric's name with nothing in it that MLflow refuses.

    >>> allowed("person/zoë/kept")
    'person/zo_/kept'
    """
    return re.sub(r"[^A-Za-z0-9_\-./ ]", "_", name)
