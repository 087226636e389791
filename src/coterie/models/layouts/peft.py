"""PEFT, https://huggingface.co/docs/peft: ``adapter_model.safetensors``, and ``adapter_config.json`` for alpha."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.models.shelves import LAYOUTS, Keys


@LAYOUTS.register("peft")
@dataclass(frozen=True)
class Peft:
    """A folder of two files that PEFT opens."""

    def keys(self, component: str, layer: str) -> tuple[Keys, ...]:
        if component.startswith("text_encoder"):
            layer = f"{component.removesuffix('_1')}.{layer}"
        return (Keys(f"base_model.model.{layer}.lora_A.weight", f"base_model.model.{layer}.lora_B.weight"),)
