"""FLUX.1: a flow-matching transformer over packed latents, with CLIP's pooled vector and T5's states.

Black Forest Labs, https://github.com/black-forest-labs/flux. The model ``dev`` is told how strictly to follow the
prompt and is asked once a step, ``schnell`` does without; neither is guided by a second answer without the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from coterie.models.backbone import Rows
from coterie.models.family import Common
from coterie.models.shelves import FAMILIES

TRAINED_AT = 1.0  # guidance told in training: the model's own answer, as it is


@FAMILIES.register("flux")
@dataclass(frozen=True)
class Flux(Common):
    """Conditions are T5's states and a pooled vector; squares of two by two latents are one token."""

    pipelines: ClassVar = ("FluxPipeline",)
    component: ClassVar = "transformer"
    distilled: ClassVar = True
    checkpoints: ClassVar = ("flux-dev", "flux-schnell")

    def channels(self, config: Any) -> int:
        return int(config.in_channels) // 4

    def conditions(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        states, pooled, _ = pipe.encode_prompt(list(prompts), None, device=pipe.device)
        return {"states": states, "pooled": pooled}

    def predict(self, network: Any, x: Tensor, timestep: Tensor, rows: Rows) -> Tensor:
        n, channels, height, width = x.shape
        packed = x.view(n, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
        places = torch.zeros(height // 2, width // 2, 3, dtype=x.dtype, device=x.device)
        places[..., 1] += torch.arange(height // 2, dtype=x.dtype, device=x.device)[:, None]
        places[..., 2] += torch.arange(width // 2, dtype=x.dtype, device=x.device)
        guidance = rows.get("guidance", torch.full((n,), TRAINED_AT, device=x.device))
        asked = network(
            hidden_states=packed.reshape(n, -1, channels * 4), timestep=(timestep / 1000).to(x.dtype),
            guidance=guidance.float() if network.config.guidance_embeds else None,
            encoder_hidden_states=rows["states"], pooled_projections=rows["pooled"],
            txt_ids=x.new_zeros(rows["states"].shape[1], 3), img_ids=places.view(-1, 3), return_dict=False,
        )  # fmt: skip
        out: Tensor = asked[0].view(n, height // 2, width // 2, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return out.reshape(x.shape)
