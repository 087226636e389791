"""A relay: each client is handed what the one before it made, from device to device where these reach each other.

What is handed over is packed once and counted as it goes: down to the first, across between devices, up from the last.
Where two devices do not reach each other it goes up and down again, on the ordinary link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coterie.core.errors import UserError, nearest
from coterie.core.links import Relayed, Seen
from coterie.core.replies import Half
from coterie.core.site import ClientId
from coterie.engines.courier import name_of, raise_halted
from coterie.engines.exchanges import Exchanges
from coterie.engines.trampoline import Together
from coterie.wire.meter import DIRECT


async def relay(cohort: Exchanges, half: Half, path: Sequence[ClientId], value: Any, seen: Seen | None) -> Relayed:
    """See ``coterie.core.links.Links.relay``."""
    require_members(cohort, path)
    name, call = name_of(half), cohort.next_call()
    answered: list[ClientId] = []
    failures: dict[ClientId, str] = {}
    last, reply = "", b""  # who has what is relayed, empty for the server
    for client in path:
        request = cohort.packed(client, name, call, cohort.cut_for(client, value))
        hand_over(cohort, last, client, request)
        answers = await Together({client: cohort.terms.courier.visit(client, request)})
        raise_halted(answers)
        answer = answers[client]
        if isinstance(answer, Exception):  # whoever has it keeps it, and tries the next
            failures[client] = cohort.missed(client, name, answer)
            continue
        last, reply = client, answer
        value = cohort.unpacked(client, reply, cohort.terms.codec)
        answered.append(client)
        if seen is not None:
            await seen(client, value)
    if last:
        cohort.count("up", last, reply)
    cohort.accept(answered, failures, len(path))
    return Relayed(value, answered, failures)


def hand_over(cohort: Exchanges, last: ClientId, client: ClientId, blob: bytes) -> None:
    """Counts one hop, and tells of it."""
    direct = bool(last) and cohort.terms.reaches(cohort.round, last, client)
    if direct:
        cohort.count("across", last, blob, DIRECT)
    else:
        if last:
            cohort.count("up", last, blob)
        cohort.count("down", client, blob)
    cohort.terms.tell("hop", round=cohort.round, sender=last or "server", client=client, direct=direct, bytes=len(blob))


def require_members(cohort: Exchanges, path: Sequence[ClientId]) -> None:
    """Refuses a path over somebody who is not there, or twice over the same."""
    for client in path:
        if client not in cohort.clients:
            known = nearest(client, cohort.clients)
            raise UserError(f"the relay goes over {client!r}, who is not in round {cohort.round}{known}")
    if len(set(path)) < len(path):
        raise UserError(f"the relay of round {cohort.round} goes over somebody twice")
