"""Every weight is trained and travels: what low-rank adaptation is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from coterie.core.adapter import Dense, Layout
from coterie.core.errors import UserError
from coterie.models.backbone import Backbone
from coterie.models.shelves import METHODS


@METHODS.register("full")
@dataclass(frozen=True)
class Full:
    """The adapter is the change of the weights themselves, one number for each; it starts at zero.

    For comparison: a message is as large as the model, one client is trained at a time, memory holds the network six
    times. It wants a rate some ten times smaller than that of factors.

    Attributes:
        targets: ``all``, or a regular expression that is looked for in the names of weights; the others stay frozen.
    """

    targets: str = "all"

    whole: ClassVar[bool] = True

    def layout(self, backbone: Backbone) -> Layout:
        try:
            wanted = re.compile("" if self.targets == "all" else self.targets)
        except re.error as error:
            raise UserError(f"method.targets: {self.targets!r} is no regular expression: {error}") from error
        weights: dict[str, Any] = dict(backbone.network.named_parameters())
        parts = tuple(Dense(name, tuple(value.shape)) for name, value in weights.items() if wanted.search(name))
        if not parts:
            some = ", ".join(list(weights)[:: max(1, len(weights) // 4)][:4])
            raise UserError(f"method.targets: {self.targets!r} is in no weight's name; weights are: {some}")
        packed = next((part.name for part in parts if not weights[part.name].is_floating_point()), None)
        if packed is not None:
            raise UserError(
                f"method.name: full cannot train {packed}, which is rounded; take backbone.quantise = 'none'"
            )
        return Layout(backbone.digest, parts)
