"""Pictures of many requests in one call: every request its own adapters, its own seed, its own noise level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from coterie.bank.bank import Bank, Mix
from coterie.core.adapter import Adapter
from coterie.core.room import with_room

WIDTH = 8  # requests a call, unless memory allows fewer
NO_ROOM = "not even one picture fits into memory: {}; lower backbone.side, or set backbone.quantise to int8 or nf4"


@dataclass(frozen=True)
class Request:
    """One picture: what to draw, with which weighted adapters (none is the bare backbone), from which noise."""

    prompt: str
    mix: tuple[tuple[Adapter, float], ...]
    seed: int
    steps: int = 16
    guidance: float = 3.0


def sample(
    bank: Bank,
    requests: Sequence[Request],
    width: int = WIDTH,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.uint8]:
    """Pictures ``(n, side, side, 3)`` in the order of the requests.

    A picture depends on its own request and on ``width`` alone: calls are filled up to it, and a call holds mixes of
    one length, because the products' inner size is that length times the rank and changes their rounding. No call has
    more than ``bank.rows`` rows, two for every request; fewer where memory runs out.

    Raises:
        UserError: if not even one picture fits into memory.
    """
    return with_room(
        lambda: _drawn(bank, requests, min(width, max(1, bank.rows // 2)), progress), bank.fewer_rows, NO_ROOM
    )


@torch.no_grad()
def _drawn(
    bank: Bank, requests: Sequence[Request], width: int, progress: Callable[[int, int], None]
) -> NDArray[np.uint8]:
    side = bank.backbone.side
    out = np.zeros((len(requests), side, side, 3), np.uint8)
    order = sorted(range(len(requests)), key=lambda i: (_ranks(requests[i]), requests[i].steps))
    chunks: list[list[int]] = []
    for _, same in groupby(order, key=lambda i: _ranks(requests[i])):
        indices = list(same)
        chunks += [indices[k : k + width] for k in range(0, len(indices), width)]
    total, done = sum(requests[chunk[-1]].steps for chunk in chunks), 0
    for chunk in chunks:
        members = [requests[i] for i in chunk]
        filled = members + [Request("", (), 0, 1)] * (width - len(members))
        mixes: list[Mix] = [request.mix for request in filled]
        prompts = bank.backbone.encode([request.prompt for request in filled])
        x = bank.backbone.noise([request.seed for request in filled])
        guidance = torch.tensor([request.guidance for request in filled])
        most = max(request.steps for request in filled)
        sigmas = torch.zeros(len(filled), most + 1)  # a request with fewer steps stays at noise level zero
        for i, request in enumerate(filled):
            sigmas[i, : request.steps + 1] = bank.backbone.grid(request.steps)
        try:
            bank.bind_groups(mixes)
            for step in range(most):
                moved = bank.backbone.step(x, prompts, sigmas[:, step], sigmas[:, step + 1], guidance)
                going = (sigmas[:, step] > 0).view(-1, *[1] * (x.dim() - 1))
                x = torch.where(going, moved, x)
                done += 1
                progress(done, total)
        finally:
            bank.release()
        out[chunk] = bank.backbone.finish(x[: len(members)])
    return out


def _ranks(request: Request) -> int:
    """Adapters side by side in the request's products; a bare request adds nothing beside mixes of one, exactly."""
    return max(1, len(request.mix))
