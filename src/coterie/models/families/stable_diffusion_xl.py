"""Stable Diffusion XL: a U-Net, two text encoders, and sizes as conditions. Podell et al., arXiv:2307.01952."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from coterie.models.backbone import Rows
from coterie.models.families.stable_diffusion import token_ids
from coterie.models.family import Common
from coterie.models.shelves import FAMILIES


@FAMILIES.register("stable_diffusion_xl")
@dataclass(frozen=True)
class StableDiffusionXL(Common):
    """Conditions are the states of both encoders side by side, a pooled vector, and sizes in pixels.

    Every picture says that it was never cropped and has the size that it is trained at, as in drawing: an adapter that
    learns under other sizes than it is asked for later would have to carry over what it learned.
    """

    pipelines: ClassVar = ("StableDiffusionXLPipeline",)
    component: ClassVar = "unet"
    encoders: ClassVar = ("text_encoder", "text_encoder_2")
    checkpoints: ClassVar = ("xl_base",)

    def refusal(self, config: Any) -> str:
        found = config.get("addition_embed_type")
        return "" if found == "text_time" else f"its U-Net's addition_embed_type is {found!r}, not 'text_time'"

    def conditions(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        states, _, pooled, _ = pipe.encode_prompt(list(prompts), device=pipe.device, do_classifier_free_guidance=False)
        sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=states.dtype, device=states.device)
        return {"states": states, "pooled": pooled, "sizes": sizes.expand(len(states), -1)}

    def shaped(self, rows: Rows, height: int, width: int) -> Rows:
        sizes = rows["sizes"].new_tensor([[height, width, 0, 0, height, width]])
        return {**rows, "sizes": sizes.expand(len(rows["sizes"]), -1)}

    def unconditional(self, pipe: Any, side: int) -> Rows:
        empty = dict(self.conditions(pipe, [""], side))
        if pipe.config.force_zeros_for_empty_prompt:
            empty |= {name: torch.zeros_like(empty[name]) for name in ("states", "pooled")}
        return empty

    def tokens(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        zeros = bool(pipe.config.force_zeros_for_empty_prompt)
        return {
            "ids": token_ids(pipe.tokenizer, prompts),
            "ids_2": token_ids(pipe.tokenizer_2, prompts),
            "sizes": torch.tensor([[side, side, 0, 0, side, side]] * len(prompts), dtype=torch.float32),
            "told": torch.tensor([[float(bool(prompt) or not zeros)] for prompt in prompts]),
        }

    def told(self, network: Any, rows: Rows) -> Rows:
        first = network.text_encoder.text_model(rows["ids"], output_hidden_states=True)
        second = network.text_encoder_2(rows["ids_2"], output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        told = rows["told"].to(states.dtype)  # 0 where the pipeline has zeros for no prompt at all
        return {"states": states * told[:, :, None], "pooled": second[0] * told, "sizes": rows["sizes"]}

    def predict(self, network: nn.Module, x: Tensor, timestep: Tensor, rows: Rows) -> Tensor:
        more = {"text_embeds": rows["pooled"], "time_ids": rows["sizes"]}
        asked = network(
            x, timestep, encoder_hidden_states=rows["states"], added_cond_kwargs=more, return_dict=False
        )  # fmt: skip
        out: Tensor = asked[0]
        return out
