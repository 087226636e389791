"""LoRA-FAIR: Bian et al., ICCV 2025, arXiv:2411.14961. The mean of the factors, ``b`` corrected toward the exact mean.

The paper makes an adapter similar by cosine; here the squared error is minimised, which has a closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Gt

from coterie.core.adapter import Adapter, LowRank, build
from coterie.core.replies import Replies
from coterie.core.rules import Aggregator
from coterie.federation.counted import counted
from coterie.federation.shelves import AGGREGATORS


@AGGREGATORS.register("lora_fair")
@dataclass(frozen=True)
class LoraFair(Aggregator):
    """``a`` is the mean; ``b`` is the mean plus ``X``, which minimises ``|D* - (b + X) a|^2 + strength |X|^2``.

    ``D* = sum_k w_k b_k a_k`` is never formed: ``X = (sum_k w_k b_k (a_k a^T) - b a a^T) (a a^T + strength I)^-1``.

    Attributes:
        strength: how much ``X`` is held back.
    """

    strength: Annotated[float, Gt(0)] = 0.01

    exact: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    by_factors: ClassVar[bool] = True

    def init(self, adapter: Adapter) -> None:
        return None

    def apply(self, state: None, current: Adapter, replies: Replies) -> tuple[None, Adapter, Mapping[str, float]]:
        adapters, weights = counted(replies)
        if not adapters:
            return None, current, {}
        mean = replies.mean()
        pieces: list[Any] = []
        for index, part in enumerate(mean.layout.parts):
            if not isinstance(part, LowRank):
                pieces.append(mean.dense(index))
                continue
            b, a = (factor.double() for factor in mean.factors(index))
            seen = torch.zeros(part.out, part.rank, dtype=torch.float64)  # D* a^T
            for weight, adapter in zip(weights, adapters, strict=True):
                b_k, a_k = (factor.double() for factor in adapter.factors(index))
                seen += weight * b_k @ (a_k @ a.T)
            gram = a @ a.T
            eye = torch.eye(part.rank, dtype=torch.float64)
            pieces.append((b + torch.linalg.solve(gram + self.strength * eye, (seen - b @ gram).T).T, a))
        return None, build(mean.layout, pieces), {}
