"""What all exchanges of a run have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coterie.core.adapter import Layout
from coterie.core.site import ClientId, Facts
from coterie.core.split import Portions
from coterie.engines.courier import Courier
from coterie.wire.codec import Codec
from coterie.wire.envelope import Header

WAVE = 64  # clients asked at once, or a few more where that fills the last pass


@dataclass(frozen=True)
class Terms:
    """What holds for all exchanges of a run.

    Attributes:
        header: run, backbone, recipe and codec; round, call and client are filled in for each message.
        courier: that carries the messages.
        layouts: that adapters on the wire may have.
        codec: how rows are written.
        uplink: how clients write what they send back in training; empty is as everything.
        facts: of every client that is there.
        seed: of the run.
        quorum: smallest share of the asked clients that must answer.
        sealed: whether single replies stay closed to the form.
        tell: called with an event's name and its fields.
        times: that clients take for a round, in units of a median client's; only who answers first depends on it.
        wave: clients that are asked at once; the next ones are asked when all of these have answered, so that what is
            in memory does not grow with a round's clients. It changes no number.
        reaches: whether two clients' devices can hand over directly in a round.
        portions: of the adapter, at clients and at the server, where a form splits the model.
    """

    header: Header
    courier: Courier
    layouts: tuple[Layout, ...]
    codec: Codec
    facts: Mapping[ClientId, Facts]
    seed: int
    quorum: float = 0.5
    sealed: bool = False
    tell: Callable[..., None] = lambda event, **fields: None
    wave: int = WAVE
    uplink: tuple[Codec, ...] = ()
    times: Mapping[ClientId, float] = field(default_factory=dict)
    reaches: Callable[[int, ClientId, ClientId], bool] = lambda round, one, other: True
    portions: Portions | None = None
