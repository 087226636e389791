"""Stable Diffusion 1.x and 2.x: a U-Net and one text encoder. Rombach et al., CVPR 2022, arXiv:2112.10752."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from coterie.models.backbone import Rows
from coterie.models.family import Common
from coterie.models.shelves import FAMILIES


@FAMILIES.register("stable_diffusion")
@dataclass(frozen=True)
class StableDiffusion(Common):
    """Conditions are the encoder's states, ``(n, 77, width)``."""

    pipelines: ClassVar = ("StableDiffusionPipeline",)
    component: ClassVar = "unet"
    encoders: ClassVar = ("text_encoder",)
    checkpoints: ClassVar = ("v1", "v2")

    def refusal(self, config: Any) -> str:
        for key in ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
            if config.get(key) is not None:
                return f"its U-Net wants more than a prompt ({key} is {config[key]!r})"
        return ""

    def conditions(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        states, _ = pipe.encode_prompt(list(prompts), pipe.device, 1, False)
        return {"states": states}

    def tokens(self, pipe: Any, prompts: Sequence[str], side: int) -> Rows:
        return {"ids": token_ids(pipe.tokenizer, prompts)}

    def told(self, network: Any, rows: Rows) -> Rows:
        return {"states": network.text_encoder.text_model(rows["ids"])[0]}

    def predict(self, network: nn.Module, x: Tensor, timestep: Tensor, rows: Rows) -> Tensor:
        out: Tensor = network(x, timestep, encoder_hidden_states=rows["states"], return_dict=False)[0]
        return out


def token_ids(tokenizer: Any, prompts: Sequence[str]) -> Tensor:
    """``(n, 77)``, as the pipelines ask CLIP's tokenizer."""
    longest = tokenizer.model_max_length
    asked = tokenizer(list(prompts), padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
    ids: Tensor = asked.input_ids
    return ids
