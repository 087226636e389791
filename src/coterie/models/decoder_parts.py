"""A causal language model of transformers in two places: the first blocks at a client, the others at the server.

Both run the model as it is, so masks and positions are its own. The server runs it on words that are none; what these
become is thrown away where the client's activations take their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from coterie.models.backbone import Rows
from coterie.models.parts import Reached, instead, require_within, same, stop

TOLD = ("tokens", "count", "share")


def blocks_of(network: Any) -> list[nn.Module]:
    """The blocks of GPT-2 or of Llama's kind, in their order."""
    base = network.base_model
    return list(base.h if hasattr(base, "h") else base.layers)


class DecoderParts:
    """See ``coterie.models.parts.Parts``.

    Blocks from the cut on are the server's. The last norm and the layer that turns states into words are the client's
    in the U-shape, where it has the loss; in the V-shape they are the server's, which is told the words to be foretold.

    Args:
        network: GPT-2 or of Llama's kind.
        losses: of the backbone; runs the network once on ``tokens (n, context + 1)``, of which the first ``context`` go
            in and the last ``context`` are foretold.
        cut: blocks at the client.
        shape: ``u`` or ``v``.

    Raises:
        UserError: if the cut is outside.
    """

    def __init__(self, network: Any, losses: Callable[[Rows], Tensor], cut: int, shape: str) -> None:
        self.losses, self.shape = losses, shape
        base, blocks = network.base_model, blocks_of(network)
        self.norm: nn.Module = base.ln_f if hasattr(base, "ln_f") else base.norm
        require_within(cut, len(blocks), "blocks")
        self.first, self.rest, self.mine = blocks[cut], blocks[cut + 1 :], blocks[:cut]
        theirs = [*blocks[cut:], *([self.norm, network.get_output_embeddings()] if shape == "v" else [])]
        names = {id(module): name for name, module in network.named_modules()}
        self.theirs = tuple(f"{names[id(module)]}." for module in theirs)
        tied = network.get_output_embeddings().weight is network.get_input_embeddings().weight
        embedding = f"{names[id(network.get_input_embeddings())]}.weight"
        self.shared = frozenset({embedding} if tied and shape == "v" else ())

    def is_client(self, name: str) -> bool:
        return not f"{name}.".startswith(self.theirs)

    def client(self, rows: Rows, back: Tensor | None) -> tuple[dict[str, Tensor], Tensor | None]:
        passed: dict[str, Tensor] = {}

        def stand(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            passed["h"] = hidden_states
            if back is None:
                raise Reached
            return back.to(hidden_states.device)

        stands: dict[nn.Module, Callable[..., Any]] = {self.first: stand, **dict.fromkeys(self.rest, same)}
        with instead(stands):
            try:
                return passed, self.losses(rows)
            except Reached:
                return passed | (told(rows) if self.shape == "v" else {}), None

    def server(self, given: Mapping[str, Tensor]) -> Tensor:
        h, block = given["h"], self.first.forward
        n, context, _ = h.shape
        rows = {name: given[name] for name in TOLD} if self.shape == "v" else nothing(n, context)
        device = next(self.first.parameters()).device

        def stand(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
            return block(h.to(device), *args, **kwargs)

        stands: dict[nn.Module, Callable[..., Any]] = {**dict.fromkeys(self.mine, same), self.first: stand}
        if self.shape == "u":
            stands[self.norm] = stop
        with instead(stands):
            try:
                return self.losses(rows)
            except Reached as reached:
                h2: Tensor = reached.value
                return h2


def told(rows: Rows) -> dict[str, Tensor]:
    """What is to be foretold, without the word that all begins with."""
    tokens = rows["tokens"].clone()
    tokens[:, 0] = 0
    return {"tokens": tokens, "count": rows["count"], "share": rows["share"]}


def nothing(count: int, context: int) -> Rows:
    """Rows without words."""
    empty = torch.zeros(count, context + 1, dtype=torch.long)
    return {"tokens": empty, "count": torch.full((count,), context), "share": torch.ones(count)}
