"""Names that ComfyUI knows: of a transformer everything below ``diffusion_model``, of a U-Net kohya's."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.models.layouts.kohya import Kohya
from coterie.models.shelves import LAYOUTS, Keys


@LAYOUTS.register("comfy")
@dataclass(frozen=True)
class Comfy:
    """One file; a layer without an alpha has one equal to its rank."""

    def keys(self, component: str, layer: str) -> tuple[Keys, ...]:
        if component.startswith("text_encoder"):
            return Kohya().keys(component, layer)  # ComfyUI reads text encoders by kohya's names
        path = f"diffusion_model.{layer}"
        # below ``diffusion_model`` ComfyUI knows a U-Net's blocks by another count; kohya's names it maps itself
        written = Kohya().keys(component, layer) if component == "unet" else ()
        return (
            *written,
            Keys(f"{path}.lora_A.weight", f"{path}.lora_B.weight", f"{path}.alpha"),
            Keys(f"{path}.lora_down.weight", f"{path}.lora_up.weight", f"{path}.alpha"),
        )
