"""A root that everybody shares and a part for each cluster, ``W_c = W0 + D_root + D_c``: our reading I2 of paper A
(arXiv:2508.04745). Both are active in every pass; a client trains one while the other is frozen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from coterie.core.adapter import Adapter, Layout, LowRank, apart, side_by_side
from coterie.core.cohort import Cohort
from coterie.core.seeds import seed_for
from coterie.core.site import ClientId, Site
from coterie.core.update import Update
from coterie.federation import clusters
from coterie.federation.clusters import State
from coterie.federation.forms.clustered import Clustered
from coterie.federation.shelves import FORMS

ROOT = "root"


@FORMS.register("rooted")
@dataclass(frozen=True)
class Rooted(Clustered):
    """Like ``clustered``, over a root that is averaged over all clients.

    What is served is the two side by side, so its rank is the sum of theirs. Up and down, two adapters travel. What a
    client keeps for itself is its own version of the part.

    Attributes:
        root_share: of a round's steps, trains the root first; the others train the cluster's part.
    """

    root_share: Annotated[float, Ge(0), Le(1)] = 0.5

    serves_two: ClassVar[bool] = True
    gives: ClassVar[Collection[str]] = ()

    async def init(self, adapter: Adapter) -> State:
        return State(adapter, root_agg=self.aggregator.init(adapter))

    async def round(self, state: State, cohort: Cohort) -> State:  # on the server
        state, asked = clusters.ask(self, state, cohort)
        sent = {c: {ROOT: state.root, "part": part} for c, part in asked.starts.items()}
        replies = await cohort.map(self.client_layers, sent)
        parts = replies.pick("part")
        state = clusters.learn(self, state, asked, parts, cohort)
        state = clusters.average(self, state, parts, cohort.facts, asked.aside)
        agg, root, noted = self.aggregator.apply(state.root_agg, state.root, replies.pick(ROOT))
        numbers = {**state.numbers, **{f"{key}/{ROOT}": value for key, value in noted.items()}}
        return state._replace(root=root, root_agg=agg, numbers=numbers)

    async def client_layers(self, site: Site, sent: Mapping[str, Adapter]) -> Mapping[str, Update]:  # at each client
        steps = round(self.root_share * self.fit.steps)
        begin = self.keeping.begin(site, sent["part"])
        root = await site.fit(sent[ROOT], replace(self.fit, steps=steps).on_top_of(begin))
        rest = replace(self.fit, steps=self.fit.steps - steps).on_top_of(root.adapter)
        part = await site.fit(begin, rest)
        await self.keeping.after_round(site, sent["part"], self.fit.on_top_of(sent[ROOT]))
        return {
            ROOT: Update(root.adapter, weight=root.num_examples),
            "part": Update(self.keeping.share(site, part.adapter), weight=part.num_examples, numbers=part.numbers),
        }

    def serve(self, state: State, client: ClientId) -> Adapter:  # what is sent for keeping
        return side_by_side(state.root, state.clusters[state.labels[client]])

    def adapters(self, state: State) -> Mapping[str, Adapter]:
        if not self.keeping.served_is_whole:
            return {ROOT: state.root}
        parts = sorted({**state.past, **state.clusters}.items())
        whole = {name: side_by_side(state.root, part) for name, part in parts}
        return {**whole, ROOT: state.root}

    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None:  # what is kept, at the site
        root, part = apart(served, half_of(served.layout))
        personal = await self.keeping.keep(site, part, self.fit.on_top_of(root))
        return None if personal is None else side_by_side(root, personal)

    def newborn(self, state: State) -> Adapter:
        """A part that does nothing yet, in other directions than the root's: two of the same would learn the same."""
        return state.root.layout.start(seed_for(0, 0, "", "cluster part"))


def half_of(layout: Layout) -> Layout:
    """The layout of which two side by side were made."""
    halves = (replace(p, rank=p.rank // 2) if isinstance(p, LowRank) else p for p in layout.parts)
    return Layout(layout.backbone, tuple(halves))
