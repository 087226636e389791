"""The shelves of this room. A new thing is one new file in the folder named here."""

from __future__ import annotations

from coterie.core.form import Form, Keeping
from coterie.core.groups import Grouping, Interaction, Split
from coterie.core.links import Order
from coterie.core.rules import Aggregator, ServerOptimiser
from coterie.core.shelf import Shelf

FORMS: Shelf[Form] = Shelf("coterie.federation.forms", "form", "clustered")
GROUPINGS: Shelf[Grouping] = Shelf("coterie.federation.groupings", "grouping", "wishes")
SPLITS: Shelf[Split] = Shelf("coterie.federation.splits", "split", "agglomerative")
KEEPINGS: Shelf[Keeping] = Shelf("coterie.federation.keepings", "keeping")
INTERACTIONS: Shelf[Interaction] = Shelf("coterie.federation.interactions", "interaction", "none")
AGGREGATORS: Shelf[Aggregator] = Shelf("coterie.federation.aggregators", "aggregator", "mean")
OPTIMISERS: Shelf[ServerOptimiser] = Shelf("coterie.federation.optimisers", "server optimiser", "fedavg")
ORDERS: Shelf[Order] = Shelf("coterie.federation.orders", "order", "random")
