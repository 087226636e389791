"""What stays with a client when the rounds are over: the served adapter and, if the form makes one, a personal one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coterie.core.adapter import Adapter
from coterie.core.form import Form
from coterie.core.site import Site


@dataclass(frozen=True)
class Keeper:
    """Lets the form make a client's personal adapter, and writes it at the site. Only a digest is sent back."""

    form: Form

    async def client_keep(self, site: Site, served: Adapter) -> Mapping[str, Any]:
        site.keep("served", served)
        personal = await self.form.client_personal(site, served)
        if personal is not None:
            site.keep("personal", personal)
        return {"personal": None if personal is None else personal.digest}
