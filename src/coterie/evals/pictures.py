"""Pictures drawn at the clients' sites, which stay there; only how many of them look like copies is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coterie.core.seeds import seed_for
from coterie.core.site import Site
from coterie.data.picture import squares
from coterie.evals.copies import copies

OWN = 4  # of a person's training pictures, shown to them beside what their adapter draws


def noise_seed(run_seed: int) -> int:
    """Seed of the first fixed prompt's noise; the next prompts count up from it."""
    return seed_for(run_seed, 0, "", "pictures") % 2**31


@dataclass(frozen=True)
class Painter:
    """Draws prompts with what each client keeps.

    Attributes:
        prompts: drawn by everybody who has none of its own; always from the same noise for everybody.
        copies: held-out captions drawn a person to look for copies; 0 leaves that out.
        seed: of the run.
    """

    prompts: tuple[str, ...]
    copies: int = 8
    seed: int = 0

    async def client_draw(self, site: Site, stage: str) -> Mapping[str, Any]:
        """The prompts with the kept adapter, into the site's folder; ``stage`` names the sheet.

        Prompts of its own are drawn without an adapter too, into ``before``: nobody else could.
        """
        adapter, seed = site.kept("personal") or site.kept("served"), noise_seed(self.seed)
        drawn = await site.sample(site.prompts or self.prompts, adapter, seed)
        site.keep_pictures(stage, drawn, site.prompts)
        if site.prompts:
            site.keep_pictures("before", await site.sample(site.prompts, None, seed))
        site.keep_pictures("own", site.train_pixels[:OWN])
        return {"pictures": len(drawn)}

    async def client_copies(self, site: Site, _: None) -> Mapping[str, Any]:
        """Draws the captions of held-out pictures and compares with the training pictures."""
        captions = site.held_out_captions[: self.copies]
        if not captions:
            return {"pictures": 0, "copies": 0, "expected": float("nan")}
        adapter = site.kept("personal") or site.kept("served")
        seed = seed_for(self.seed, 0, site.client, "copies") % 2**31
        drawn = await site.sample(captions, adapter, seed)
        held_out, train = (squares(pixels, drawn.shape[1]) for pixels in (site.held_out_pixels, site.train_pixels))
        found, expected = copies(drawn, held_out, train)
        return {"pictures": len(drawn), "copies": found, "expected": expected}
