"""The courier inside one process: sites run in the same trampoline, so their work meets in the same batches."""

from __future__ import annotations

from collections.abc import Mapping

from coterie.engines.courier import ClientFailed
from coterie.engines.site import SiteHost


class InProcess:
    """Hands requests to sites in memory."""

    link = "memory"

    def __init__(self, hosts: Mapping[str, SiteHost]) -> None:
        self.hosts = hosts

    async def visit(self, client: str, request: bytes) -> bytes:
        if client not in self.hosts:
            raise ClientFailed(f"there is no client called {client!r}")
        return await self.hosts[client].handle(request)
