"""A network in two places. The network is never copied or taken apart: on each side it runs as it is, and where the
other side's blocks would be, something stands that takes what they would be given and gives what they gave.

So embeddings, conditions, masks, positions and the loss are the model's own, whatever its kind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Protocol

from torch import Tensor, nn

from coterie.core.adapter import Dense, Layout
from coterie.core.errors import UserError
from coterie.core.split import Portions
from coterie.models.backbone import Rows

GIVES_AWAY = (
    "v shows the server the noise eps that is to be found, its level t and what it needs of x_t, and with them the "
    "picture: "
    "x = (x_t - s_t eps) / a_t; take form.shape = 'u', where eps stays with the client, or the form split_steps"
)


class Parts(Protocol):
    """A network cut in two, its adapted layers bound or not.

    Attributes:
        shared: names of weights that both sides use; they cannot be trained.
    """

    shared: frozenset[str]

    def is_client(self, name: str) -> bool:
        """Whether the layer or weight of a name is the client's."""
        ...

    def client(self, rows: Rows, back: Tensor | None) -> tuple[dict[str, Tensor], Tensor | None]:
        """The client's side: what is handed over, by name, and the losses of rows ``(n,)`` given what comes ``back``.

        Without that there are no losses, and nothing runs that would need it.
        """
        ...

    def server(self, given: Mapping[str, Tensor]) -> Tensor:
        """The server's side: what it hands back, or in the V-shape the losses of rows ``(n,)``."""
        ...


class Reached(Exception):
    """A pass got as far as it should."""

    def __init__(self, value: Any = None) -> None:
        super().__init__("as far as it should")
        self.value = value


def stop(value: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Stands where a pass should end."""
    raise Reached(value)


def same(hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
    """Stands where nothing should happen."""
    return hidden_states


@contextlib.contextmanager
def instead(stands: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Modules that do something else for a while."""
    own = {module: module.__dict__.get("forward") for module in stands}
    try:
        for module, does in stands.items():
            module.forward = does
        yield
    finally:
        for module, before in own.items():
            module.__dict__.pop("forward", None)  # the class has its own
            if before is not None:
                module.forward = before


def parts_of(backbone: Any, form: Any) -> Parts | None:
    """What a form splits a backbone into; None if it splits no layers.

    Raises:
        UserError: with the key of the recipe that is wrong, and what would be right.
    """
    if not getattr(form, "splits_layers", False):
        return None
    if form.shape == "v" and hasattr(backbone, "path"):
        raise UserError(f"form.shape: {GIVES_AWAY}")
    split = getattr(backbone, "parts", None)
    if split is None:
        raise UserError("form.name: split cannot cut this backbone; take doodle, scribe, or a pipeline with a U-Net")
    parts: Parts = split(form.cut, form.shape)
    return parts


def require_within(cut: int, blocks: int, what: str) -> None:
    """Refuses a cut that leaves one of the sides without a block."""
    if not 1 <= cut < blocks:
        raise UserError(f"form.cut: {cut} is outside the model, which has {blocks} {what}; wanted 1 to {blocks - 1}")


def portions_of(layout: Layout, parts: Parts | None) -> Portions | None:
    """Which layers of an adapter are trained where.

    Raises:
        UserError: if the server would have none, or a weight would be trained on both sides.
    """
    if parts is None:
        return None
    for part in layout.parts:
        if isinstance(part, Dense) and part.name in parts.shared:
            raise UserError(f"form.shape: {part.name} is used on both sides; take 'u', or leave it out: method.targets")
    client, server = (
        Layout(layout.backbone, tuple(p for p in layout.parts if parts.is_client(p.name) == own))
        for own in (True, False)
    )
    if not server.parts:
        raise UserError("form.cut: no layer of the server's part is in method.targets; take a smaller cut, or 'all'")
    return Portions(client, server)
