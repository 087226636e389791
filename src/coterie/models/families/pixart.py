"""PixArt-alpha and PixArt-sigma: a diffusion transformer with T5. Chen et al., arXiv:2310.00426, arXiv:2403.04692."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from coterie.models.backbone import Rows
from coterie.models.family import Common
from coterie.models.shelves import FAMILIES


@FAMILIES.register("pixart")
@dataclass(frozen=True)
class PixArt(Common):
    """Conditions are T5's states with their mask; the large model is also told a picture's size and shape."""

    pipelines: ClassVar = ("PixArtAlphaPipeline", "PixArtSigmaPipeline")
    component: ClassVar = "transformer"

    def conditions(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        states, mask, _, _ = pipe.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, device=pipe.device, clean_caption=False
        )
        size = torch.full((len(states), 2), float(side), dtype=states.dtype, device=states.device)
        return {"states": states, "mask": mask, "size": size, "aspect": torch.ones_like(size[:, :1])}

    def shaped(self, rows: Rows, height: int, width: int) -> Rows:
        size, aspect = rows["size"].new_tensor([[height, width]]), rows["aspect"].new_tensor([[height / width]])
        n = len(rows["size"])
        return {**rows, "size": size.expand(n, -1), "aspect": aspect.expand(n, -1)}

    def predict(self, network: nn.Module, x: Tensor, timestep: Tensor, rows: Rows) -> Tensor:
        told: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if network.use_additional_conditions:
            told = {"resolution": rows["size"], "aspect_ratio": rows["aspect"]}
        asked = network(
            x, encoder_hidden_states=rows["states"], encoder_attention_mask=rows["mask"], timestep=timestep,
            added_cond_kwargs=told, return_dict=False,
        )  # fmt: skip
        out: Tensor = asked[0]
        return out[:, : x.shape[1]]  # the other half is a learned variance, which drawing without noise does not use
