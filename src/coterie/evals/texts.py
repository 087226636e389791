"""Texts written at the clients' sites, which stay there; only how many of them look like copies is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coterie.core.seeds import seed_for
from coterie.core.site import Site
from coterie.data.texts import opening
from coterie.evals.copied_words import copies
from coterie.evals.pictures import noise_seed

OWN, EXCERPT = 2, 400  # documents, and letters of each, shown to a person beside what its adapter writes


@dataclass(frozen=True)
class Narrator:
    """Goes on from prompts with what each client keeps; the counterpart of ``coterie.evals.pictures.Painter``.

    Attributes:
        prompts: gone on from by everybody who has none of its own; always from the same seeds.
        copies: held-out documents begun anew for each person to look for copies; 0 leaves that out.
        seed: of the run.
    """

    prompts: tuple[str, ...]
    copies: int = 8
    seed: int = 0

    async def client_draw(self, site: Site, stage: str) -> Mapping[str, Any]:
        """The prompts with the kept adapter, into the site's folder; ``stage`` names the file.

        Prompts of its own are gone on from without an adapter too, into ``before``: nobody else could.
        """
        adapter, seed = site.kept("personal") or site.kept("served"), noise_seed(self.seed)
        prompts = site.prompts or self.prompts
        texts = await site.write(prompts, adapter, seed)
        site.keep_texts(stage, list(zip(prompts, texts, strict=True)))
        if site.prompts:
            site.keep_texts("before", list(zip(prompts, await site.write(prompts, None, seed), strict=True)))
        site.keep_texts("own", [("", excerpt(text)) for text in site.train_captions[:OWN]])
        return {"pictures": len(texts)}

    async def client_copies(self, site: Site, _: None) -> Mapping[str, Any]:
        """Begins held-out documents anew and compares how they go on with the training documents."""
        held_out = list(site.held_out_captions[: self.copies])
        if not held_out:
            return {"pictures": 0, "copies": 0, "expected": float("nan")}
        adapter = site.kept("personal") or site.kept("served")
        seed = seed_for(self.seed, 0, site.client, "copies") % 2**31
        prompts = [opening(text) for text in held_out]
        written = await site.write(prompts, adapter, seed)
        rest = [" ".join(text.split())[len(begun) :] for text, begun in zip(held_out, prompts, strict=True)]
        found, expected = copies(written, rest, site.train_captions)
        return {"pictures": len(written), "copies": found, "expected": expected}


def excerpt(text: str) -> str:
    """The beginning of a document, cut between two words."""
    if len(text) <= EXCERPT:
        return text
    return text[:EXCERPT].rsplit(None, 1)[0] + " …"
