"""diffusers' conditional U-Net in two places: inner blocks at the server, outer ones and both ends at a client.

Every connection that skips the inner blocks begins and ends in outer ones, but for one: what enters the inner blocks is
also the last skip that they take up again, so it is handed over once and no other skip crosses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from coterie.core.errors import UserError
from coterie.models.backbone import Rows
from coterie.models.parts import Reached, instead, require_within

CONDITIONS = ("encoder_hidden_states", "encoder_attention_mask")


class UNetParts:
    """See ``coterie.models.parts.Parts``; only the U-shape.

    What is handed over: ``h``, the embedding ``temb`` of the noise's level and, where an inner block has
    cross-attention, the encoded caption. What comes back: activations.

    Args:
        network: ``UNet2DConditionModel``.
        losses: of the backbone; runs the network once.
        cut: outer blocks on the way down, and as many on the way up.

    Raises:
        UserError: if the cut is outside, or the network of another kind.
    """

    shared: frozenset[str] = frozenset()

    def __init__(self, network: Any, losses: Callable[[Rows], Tensor], cut: int) -> None:
        if type(network).__name__ != "UNet2DConditionModel":
            raise UserError(
                f"form.name: split cannot cut a {type(network).__name__}; it cuts U-Nets, or take split_steps"
            )
        self.network, self.losses, self.cut = network, losses, cut
        count = len(network.down_blocks)
        require_within(cut, count, "blocks on its way down")
        if any(not hasattr(block, "resnets") for block in (*network.down_blocks, *network.up_blocks)):
            raise UserError("form.name: split cannot cut this U-Net, whose blocks are of an unusual kind")
        self.down: list[Any] = list(network.down_blocks[cut:])
        self.up: list[Any] = list(network.up_blocks[: count - cut])
        inner = [f"down_blocks.{i}." for i in range(cut, count)] + [f"up_blocks.{i}." for i in range(count - cut)]
        self.inner = (*inner, "mid_block.")

    def is_client(self, name: str) -> bool:
        return not name.startswith(self.inner)

    def client(self, rows: Rows, back: Tensor | None) -> tuple[dict[str, Tensor], Tensor | None]:
        passed: dict[str, Tensor] = {}

        def note(hidden_states: Tensor, temb: Tensor, **conditions: Any) -> None:
            passed.setdefault("h", hidden_states)
            passed.setdefault("temb", temb)
            passed.update((key, value) for key in CONDITIONS if (value := conditions.get(key)) is not None)

        def going_down(block: Any) -> Callable[..., Any]:
            skips = len(block.resnets) + (block.downsamplers is not None)

            def stand(hidden_states: Tensor, **more: Any) -> Any:
                note(hidden_states, **more)
                return hidden_states, (hidden_states,) * skips  # taken up again by those who stand on the way up

            return stand

        def middle(hidden_states: Tensor, temb: Tensor, **more: Any) -> Tensor:
            note(hidden_states, temb, **more)
            return hidden_states

        def last(hidden_states: Tensor, res_hidden_states_tuple: Any, **more: Any) -> Tensor:
            note(hidden_states, **{key: value for key, value in more.items() if key != "upsample_size"})
            if back is None:
                raise Reached
            return back.to(hidden_states.device)

        def going_up(hidden_states: Tensor, res_hidden_states_tuple: Any, **more: Any) -> Tensor:
            note(hidden_states, **{key: value for key, value in more.items() if key != "upsample_size"})
            return hidden_states

        stands: dict[nn.Module, Callable[..., Any]] = {block: going_down(block) for block in self.down}
        stands |= dict.fromkeys(self.up, going_up) | {self.up[-1]: last}
        if self.network.mid_block is not None:
            stands[self.network.mid_block] = middle
        with instead(stands):
            try:
                return passed, self.losses(rows)
            except Reached:
                return passed, None

    def server(self, given: Mapping[str, Tensor]) -> Tensor:
        weight = next(self.network.parameters())
        tensors = {name: value.to(weight.device) for name, value in given.items()}
        h, temb = tensors.pop("h"), tensors.pop("temb")

        def told(block: Any) -> dict[str, Any]:
            return tensors if getattr(block, "has_cross_attention", False) else {}

        skips: tuple[Tensor, ...] = (h,)
        for block in self.down:
            h, found = block(hidden_states=h, temb=temb, **told(block))
            skips += found
        if (mid := self.network.mid_block) is not None:
            h = mid(h, temb, **told(mid))
        for block in self.up:
            count = len(block.resnets)
            h = block(hidden_states=h, temb=temb, res_hidden_states_tuple=skips[-count:], **told(block))
            skips = skips[:-count]
        return h
