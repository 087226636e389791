"""Pictures of many requests in one call: every request its own adapters, its own seed, its own noise level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.bank.compose import Mix, Way, active, denoisers
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.progress import Steps, unheard
from coterie.core.room import with_room
from coterie.core.size import Size
from coterie.models.backbone import Draws

WIDTH = 8  # requests a call, unless memory allows fewer
NO_ROOM = (
    "not even one picture fits into memory: {}; lower --size or backbone.side, or set backbone.quantise to int8 or nf4"
)


@dataclass(frozen=True)
class Request:
    """One picture: what to draw, with which weighted adapters (none is the bare backbone), from which noise.

    ``way`` is how several adapters work together, see ``coterie.bank.compose``.
    """

    prompt: str
    mix: tuple[tuple[Adapter, float], ...]
    seed: int
    steps: int = 16
    guidance: float = 3.0
    way: Way = "merge"


def sample(
    bank: Bank,
    requests: Sequence[Request],
    width: int = WIDTH,
    progress: Steps = unheard,
    size: Size | None = None,
) -> NDArray[np.uint8]:
    """Pictures ``(n, height, width, 3)`` in the order of the requests, squares unless a ``size`` is given.

    A picture depends on its own request, ``width`` and ``size`` alone: calls are filled up to the width, and a call
    holds mixes of one length and rank, because the products' inner size is that length times the rank and changes their
    rounding. No call has more than ``bank.rows`` rows, two for every denoiser; fewer where memory runs out.

    Raises:
        UserError: if not even one picture fits into memory.
    """
    return with_room(
        lambda: _drawn(bank, requests, min(width, max(1, bank.rows // 2)), progress, size), bank.fewer_rows, NO_ROOM
    )


@torch.no_grad()
def _drawn(
    bank: Bank,
    requests: Sequence[Request],
    width: int,
    progress: Steps,
    size: Size | None,
) -> NDArray[np.uint8]:
    backbone = cast(Draws, bank.backbone)
    out = np.zeros((len(requests), *(size or (backbone.side, backbone.side)), 3), np.uint8)
    chunks = _chunks(bank, requests, width)
    total, done = sum(max(requests[i].steps for i in chunk) for chunk in chunks), 0
    for chunk in chunks:
        lanes = [(i, mix, share) for i in chunk for mix, share in denoisers(requests[i].mix, requests[i].way)]
        members = [requests[i] for i, _, _ in lanes]
        filled = members + [Request("", (), 0, 1)] * (width - len(members))
        prompts = backbone.encode([request.prompt for request in filled])
        x = backbone.noise([request.seed for request in filled], size)
        guidance = torch.tensor([request.guidance for request in filled])
        most = max(request.steps for request in filled)
        sigmas = torch.zeros(len(filled), most + 1)  # a request with fewer steps stays at noise level zero
        for i, request in enumerate(filled):
            sigmas[i, : request.steps + 1] = backbone.grid(request.steps, size)
        bound: list[list[int]] = []
        try:
            for step in range(most):
                mixes: list[Mix] = [active(mix, requests[i].way, step, requests[i].steps) for i, mix, _ in lanes]
                if (now := [[id(adapter) for adapter, _ in mix] for mix in mixes]) != bound:
                    bank.bind_groups(mixes + [()] * (width - len(lanes)))
                    bound = now
                moved = backbone.step(x, prompts, sigmas[:, step], sigmas[:, step + 1], guidance)
                going = (sigmas[:, step] > 0).view(-1, *[1] * (x.dim() - 1))
                x = torch.where(going, _averaged(moved, lanes), x)
                done += 1
                progress(done, total)
        finally:
            bank.release()
        first = {i: lane for lane, (i, _, _) in reversed(list(enumerate(lanes)))}
        out[chunk] = backbone.finish(x[[first[i] for i in chunk]])
    return out


def _chunks(bank: Bank, requests: Sequence[Request], width: int) -> list[list[int]]:
    """Requests that are drawn in one call: products of one size, at most ``width`` denoisers."""

    def size(i: int) -> tuple[int, int, Way]:
        """Adapters side by side in the products, and their company; bare requests add nothing to others."""
        mix, way = requests[i].mix, requests[i].way
        beside = len(mix) if way == "merge" else 1
        return max(1, beside), bank.company(mix), way

    order = sorted(range(len(requests)), key=lambda i: (size(i), requests[i].steps))
    chunks: list[list[int]] = []
    for _, same in groupby(order, key=size):
        taken = width
        for i in same:
            lanes = len(denoisers(requests[i].mix, requests[i].way))
            if lanes > width:
                raise UserError(f"a composite of {lanes} adapters; {width} fit into one call")
            if taken + lanes > width:
                chunks.append([])
                taken = 0
            chunks[-1].append(i)
            taken += lanes
    return chunks


def _averaged(moved: Tensor, lanes: Sequence[tuple[int, Mix, float]]) -> Tensor:
    """Every lane of a picture at the mean of where its denoisers lead."""
    if len({i for i, _, _ in lanes}) == len(lanes):
        return moved
    means: dict[int, Tensor] = {}
    for lane, (i, _, share) in enumerate(lanes):
        means[i] = means.get(i, torch.zeros_like(moved[lane])) + share * moved[lane]
    return torch.stack([means[i] for i, _, _ in lanes] + list(moved[len(lanes) :]))
