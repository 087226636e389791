"""Held-out loss with fixed noise and noise levels: what is comparable between arms (``algorithms`` 17.2).

Every picture is scored at the same levels with the same noise for every adapter, so differences between adapters are
paired. Of texts the loss is nats by token, see ``coterie.evals.perplexity``. A client sends means by level, never an
example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.site import Site


@dataclass(frozen=True)
class HeldOut:
    """Scores the served and the kept adapter at the client's site."""

    async def client_base(self, site: Site, tests: list[str]) -> Mapping[str, Any]:
        """The bare backbone on the named test sets."""
        return await _scored(site, None, tests)

    async def client_served(self, site: Site, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """An adapter that came with the request, on the named test sets; a local adapter counts as served."""
        adapter: Adapter = site.memory.get("personal", value["adapter"]) if value["local"] else value["adapter"]
        return await _scored(site, adapter, value["tests"])

    async def client_kept(self, site: Site, asked: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
        """What lies at the site for keeping, ``served`` and perhaps ``personal``, each on the test sets asked for."""
        scores: dict[str, Any] = {}
        for name, tests in asked.items():
            adapter = site.kept(name)
            if adapter is not None:
                scores[name] = await _scored(site, adapter, tests)
        return scores

    async def client_units(self, site: Site, _: None) -> Mapping[str, Any]:
        """How much text each test set holds."""
        return {test: dict(site.units(test)) for test in sorted(site.tests)}


async def _scored(site: Site, adapter: Adapter | None, tests: Sequence[str]) -> Mapping[str, Any]:
    """By test set; a client that has none of that name is not scored on it."""
    return {test: _by_level(await site.evaluate(adapter, test)) for test in tests if test in site.tests}


def _by_level(losses: Tensor) -> Mapping[str, Any]:
    """Means over pictures: ``losses (pictures, levels)`` to a list from clean to noisy, and the count."""
    return {"levels": losses.double().mean(0), "count": len(losses)}


def removed(base: Tensor, loss: Tensor) -> float:
    """Share of the base's loss that an adapter removed, both summed over levels; negative if it made things worse."""
    return float(1 - loss.sum() / base.sum())
