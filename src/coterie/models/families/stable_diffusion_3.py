"""Stable Diffusion 3 and 3.5: a flow-matching transformer and three encoders. Esser et al., arXiv:2403.03206."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from coterie.models.backbone import Rows
from coterie.models.family import Common
from coterie.models.shelves import FAMILIES


@FAMILIES.register("stable_diffusion_3")
@dataclass(frozen=True)
class StableDiffusion3(Common):
    """Conditions are the states of all encoders one after another, and a pooled vector."""

    pipelines: ClassVar = ("StableDiffusion3Pipeline",)
    component: ClassVar = "transformer"
    checkpoints: ClassVar = ("sd3", "sd35_large", "sd35_medium")

    def conditions(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        told = list(prompts)
        states, _, pooled, _ = pipe.encode_prompt(
            told, told, told, device=pipe.device, do_classifier_free_guidance=False
        )
        return {"states": states, "pooled": pooled}

    def predict(self, network: nn.Module, x: Tensor, timestep: Tensor, rows: Rows) -> Tensor:
        asked = network(
            hidden_states=x, timestep=timestep, encoder_hidden_states=rows["states"],
            pooled_projections=rows["pooled"], return_dict=False,
        )  # fmt: skip
        out: Tensor = asked[0]
        return out
