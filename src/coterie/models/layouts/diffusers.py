"""diffusers: the layers below the component they belong to; ranks and alphas as JSON in the header, since 0.34."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.models.shelves import LAYOUTS, Keys


@LAYOUTS.register("diffusers")
@dataclass(frozen=True)
class Diffusers:
    """One file that a pipeline's ``load_lora_weights`` opens.

    Read are also the older spellings, and files of one model that name no component.
    """

    def keys(self, component: str, layer: str) -> tuple[Keys, ...]:
        component = component.removesuffix("_1")
        path = f"{component}.{layer}"
        bare = () if component.startswith("text_encoder") else (layer,)
        return (
            Keys(f"{path}.lora_A.weight", f"{path}.lora_B.weight"),
            Keys(f"{path}.lora.down.weight", f"{path}.lora.up.weight", f"{path}.alpha"),
            Keys(f"{path}.lora_down.weight", f"{path}.lora_up.weight", f"{path}.alpha"),
            *(Keys(f"{layer}.lora_A.weight", f"{layer}.lora_B.weight") for layer in bare),
        )
