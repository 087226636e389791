"""One exchange with one client: who carries it, which half it names, and how it ends without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from coterie.core.errors import Halted
from coterie.core.replies import Half
from coterie.core.site import ClientId


class Courier(Protocol):
    """Carries packed requests to clients and brings packed replies back.

    Attributes:
        link: what it is called in the meter.
    """

    link: str

    async def visit(self, client: ClientId, request: bytes) -> bytes:
        """One exchange with one client.

        Raises:
            ClientFailed: if there will be no reply.
        """
        ...


class ClientFailed(Exception):
    """One client's half ended without a reply; the others go on. ``kind`` says in a word why."""

    kind: ClassVar[str] = "error"


class Surplus(ClientFailed):
    """The client's answer came when there were enough."""

    kind = "surplus"


def name_of(half: Half) -> str:
    """``Class.method``, by which a site finds a half."""
    return f"{type(getattr(half, '__self__', None)).__name__}.{half.__name__}"


def raise_halted(answers: Mapping[ClientId, Any]) -> None:
    """Clients on one machine share its disk: where one found it full, the run stops and no client is to blame."""
    for answer in answers.values():
        if isinstance(answer, Halted):
            raise answer
