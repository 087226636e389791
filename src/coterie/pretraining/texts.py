"""Captions as the network takes them, and what it says under them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coterie.models import flow
from coterie.models.encoders.minilm import TextStates, minilm


class Texts:
    """Captions to token states, remembering those that come again."""

    def __init__(self, device: str) -> None:
        self.device, self.known = device, {}  # type: str, dict[str, tuple[Tensor, Tensor]]

    def __call__(self, captions: list[str]) -> TextStates:
        if len(self.known) > 20_000:  # scenes rarely come again; names and the empty caption soon do
            self.known.clear()
        new = sorted({c for c in captions if c not in self.known})
        if new:
            encoded = minilm(self.device).encode(new)
            for i, caption in enumerate(new):
                length = int(encoded.mask[i].sum())
                self.known[caption] = (encoded.states[i, :length].half(), encoded.pooled[i])
        rows = [self.known[c] for c in captions]
        longest = max(len(states) for states, _ in rows)
        states = torch.zeros(len(rows), longest, rows[0][0].shape[1], device=self.device)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool, device=self.device)
        for i, (row, _) in enumerate(rows):
            states[i, : len(row)], mask[i, : len(row)] = row.float(), True
        return TextStates(states, mask, torch.stack([pooled for _, pooled in rows]))


def velocity(network: Any, x: Tensor, sigma: Tensor, states: TextStates) -> Tensor:
    """What a network says of pictures ``x (n, 3, h, w)`` at noise levels ``sigma (n,)`` under captions."""
    out: Tensor = network(
        x,
        sigma * flow.TIMESTEPS,
        encoder_hidden_states=states.states,
        encoder_attention_mask=states.mask.float(),
        return_dict=False,
    )[0]
    return out
