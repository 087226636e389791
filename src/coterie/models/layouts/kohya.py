"""kohya's sd-scripts, read by most programs with a window: underscores for dots, alpha as a tensor of its own."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.models.shelves import LAYOUTS, Keys

PREFIXES = {"unet": "lora_unet", "transformer": "lora_unet", "text_encoder": "lora_te"}
PREFIXES |= {"text_encoder_1": "lora_te1", "text_encoder_2": "lora_te2"}


@LAYOUTS.register("kohya")
@dataclass(frozen=True)
class Kohya:
    """One file; a layer without an alpha has one equal to its rank."""

    def keys(self, component: str, layer: str) -> tuple[Keys, ...]:
        flat = layer.replace(".", "_")
        first = PREFIXES.get(component, f"lora_{component}")
        prefixes = (first, "lora_te1") if component == "text_encoder" else (first,)
        return tuple(
            Keys(f"{p}_{flat}.lora_down.weight", f"{p}_{flat}.lora_up.weight", f"{p}_{flat}.alpha") for p in prefixes
        )
