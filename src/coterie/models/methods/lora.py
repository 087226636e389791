"""Low-rank adaptation: Hu et al., ICLR 2022, arXiv:2106.09685; on convolutions as in LyCORIS' LoCon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from coterie.core.adapter import Layout
from coterie.models.backbone import Backbone
from coterie.models.shelves import METHODS


@METHODS.register("lora")
@dataclass(frozen=True)
class Lora:
    """Two thin factors beside each chosen layer.

    Attributes:
        rank: of the factors.
        alpha: the update is scaled by ``alpha / rank``.
        targets: ``attention`` (its projections), ``transformer`` (also the layers after it), ``all`` (also
            convolutions), or a regular expression that is looked for in the names of layers.
    """

    rank: Annotated[int, Ge(1), Le(1024)] = 8
    alpha: Annotated[float, Gt(0)] = 8.0
    targets: str = "all"

    def layout(self, backbone: Backbone) -> Layout:
        return backbone.layout(self.rank, self.alpha, self.targets)
