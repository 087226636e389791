"""Groups that somebody names: cells of a network, classes of a school, whoever shares an edge server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from coterie.core.errors import UserError, nearest
from coterie.core.groups import Grouped
from coterie.core.site import ClientId, Facts
from coterie.federation.shelves import GROUPINGS


@GROUPINGS.register("given")
@dataclass(frozen=True)
class Given:
    """Groups as they are written down.

    Attributes:
        groups: the clients of each group, by its name: ``{ north = ["ada", "bo"], south = ["cy"] }``. Everybody is in
            one; who is not there yet may be named.
    """

    groups: Mapping[str, tuple[ClientId, ...]] = field(default_factory=dict)

    reads: ClassVar[str] = "nothing"

    def group(self, vectors: Mapping[ClientId, Any], facts: Mapping[ClientId, Facts], seed: int) -> Grouped:
        labels: dict[ClientId, str] = {}
        for name, members in self.groups.items():
            if not members:
                raise UserError(f"form.grouping.groups: {name} is empty; give it a client or leave it out")
            for client in members:
                if client in labels:
                    raise UserError(f"form.grouping.groups: {client} is in {labels[client]} and in {name}; wanted one")
                labels[client] = name
        for client in sorted(facts):
            if client not in labels:
                raise UserError(f"form.grouping.groups: {client} is in none of them{nearest(client, labels)}")
        here = {client: labels[client] for client in sorted(facts)}
        return Grouped(here, {"group/count": float(len(set(here.values())))})


def require_members(grouping: Any, here: Mapping[ClientId, Facts], first: bool) -> None:
    """Every edge that a grouping names has a client before the first round; later all of one may have left."""
    for name, members in getattr(grouping, "groups", {}).items() if first else ():
        if not here.keys() & set(members):
            raise UserError(
                f"form.grouping.groups: nobody of {name} is here, and an edge needs a client; leave it out or give it "
                "somebody who is there at the start"
            )
