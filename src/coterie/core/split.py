"""One model in two places: which part of an adapter is where, and what passes between the sides in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from coterie.core.adapter import Adapter, Layout
from coterie.core.errors import UserError

if TYPE_CHECKING:
    from coterie.core.work import Fit, Fitted

Passed = Mapping[str, Any]
"""Tensors by name, and under ``live`` the names of those that somebody trained before: their gradients go back."""


@dataclass(frozen=True)
class Portions:
    """The layers of an adapter that are trained at a client, and those that are trained at the server."""

    client: Layout
    server: Layout


class Side(Protocol):
    """One side of a split model in training, with an optimiser that begins and ends with a round.

    ``forward`` and ``backward`` take turns; the side that has the targets is asked for the ``loss`` in between. A side
    takes an optimiser step when it knows its gradient: in ``backward``, or in ``loss`` where nothing comes back to it.
    """

    async def forward(self, given: Passed) -> Passed:
        """Activations for the other side. A client is given nothing and draws its next batch."""
        ...

    async def loss(self, given: Passed) -> Passed:
        """What is left of the forward pass, the loss, and its gradient with respect to what was given."""
        ...

    async def backward(self, given: Passed) -> Passed:
        """Given the gradient of what ``forward`` returned: a step, and the gradient of what ``forward`` was given."""
        ...

    async def end(self, given: Passed | None = None) -> Fitted:
        """``backward`` a last time, if there is a gradient, and what training made of the portion."""
        ...


class ClientSide(Side, Protocol):
    """At a client, which says how long it goes on."""

    async def begin(self, portion: Adapter, fit: Fit) -> int:
        """Takes over a portion of the adapter, with a fresh optimiser. The steps that this client will take."""
        ...


def places(whole: Layout, portion: Layout) -> Tensor:
    """Which numbers of a row are a portion's, ``(whole.size,)`` booleans."""
    names = {part.name for part in portion.parts}
    if tuple(part for part in whole.parts if part.name in names) != portion.parts:
        raise UserError("a portion has layers that the adapter has not, or has otherwise")
    each = [torch.full((part.size,), part.name in names) for part in whole.parts]
    return torch.cat(each) if each else torch.zeros(0, dtype=torch.bool)


def portion_of(adapter: Adapter, layout: Layout) -> Adapter:
    """Some layers of an adapter."""
    return Adapter(layout, adapter.row[places(adapter.layout, layout)])


def put_together(whole: Layout, portions: Sequence[Adapter]) -> Adapter:
    """One adapter of several portions; the layers of none are zero."""
    row = torch.zeros(whole.size)
    for portion in portions:
        row[places(whole, portion.layout)] = portion.row
    return Adapter(whole, row)
