"""The shelves of this room. A new thing is one new file in the folder named here."""

from __future__ import annotations

from coterie.air.link import Link, PathLoss
from coterie.core.shelf import Shelf

LINKS: Shelf[Link] = Shelf("coterie.air.links", "link", "steady")
PATH_LOSSES: Shelf[PathLoss] = Shelf("coterie.air.path_losses", "path loss", "street")
