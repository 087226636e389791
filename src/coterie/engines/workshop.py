"""Does what halves wait for: every kind of work as one batch in the one bank of this process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.bank.fit import FitJob, NotFinite, fit
from coterie.bank.sides import Sides
from coterie.bank.write import Asked, Writing, write
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.progress import Progress, unheard
from coterie.core.room import with_room
from coterie.core.seeds import seed_for
from coterie.engines.trampoline import Work
from coterie.models.backbone import Rows, Shaped, sets_of
from coterie.models.buried import bury
from coterie.models.encoders.public import public_texts, wish_vectors
from coterie.models.parts import Parts

NO_ROOM = (
    "one client alone does not fit into memory: {}; lower form.fit.batch or method.rank, or of a pipeline set "
    "backbone.quantise to int8 or nf4"
)


class Workshop:
    """Owns a bank and answers work in batches.

    Args:
        bank: the one bank of this process.
        steps: denoising steps of a picture.
        guidance: scale of classifier-free guidance.
        writing: how the next token of a text is chosen.
        progress: called with a kind of work, steps done and steps in all.
        tell: called with an event and its fields.
        parts: the network cut in two, where a form splits it.
    """

    def __init__(
        self,
        bank: Bank,
        steps: int = 16,
        guidance: float = 3.0,
        writing: Writing | None = None,
        progress: Progress = unheard,
        tell: Callable[..., None] = lambda event, **fields: None,
        parts: Parts | None = None,
    ) -> None:
        self.sides = Sides(bank, parts) if parts is not None else None
        self.bank, self.steps, self.guidance, self.progress, self.tell = bank, steps, guidance, progress, tell
        self.writing = writing or Writing()

    def do(self, kind: str, works: Sequence[Work]) -> Sequence[Any]:
        """Answers in the order of ``works``; an exception as an answer harms only its own half."""
        answers: Sequence[Any] = getattr(self, f"_{kind}")(works)
        self.bank.backbone.free()  # so that nothing of this kind of work is still there beside the next
        return answers

    def _fit(self, works: Sequence[Work]) -> Sequence[Any]:
        jobs = [
            FitJob(w.client, start, settings, rows, seed) for w in works for start, settings, rows, seed in [w.payload]
        ]
        return with_room(lambda: fit(self.bank, jobs, functools.partial(self.progress, "fit")), self._narrower, NO_ROOM)

    def _narrower(self) -> bool:
        smaller = self.bank.narrow()
        if smaller:
            self.tell("narrower", width=self.bank.width)
        return smaller

    def _evaluate(self, works: Sequence[Work]) -> Sequence[Any]:
        jobs = [EvalJob(w.client, *w.payload) for w in works]
        return evaluate(self.bank, jobs, functools.partial(self.progress, "evaluate"))

    def _score(self, works: Sequence[Work]) -> Sequence[Any]:
        """One client after another: rows with their noise are many times as large as the pictures."""
        return [self._scored(w.client, *w.payload) for w in works]

    def _scored(
        self, client: str, adapters: Sequence[Adapter], rows: Rows | Shaped, levels: int, seed: int
    ) -> torch.Tensor:
        """Mean loss under each adapter, ``(adapters,)`` float64."""
        fixed: Rows | Shaped
        if isinstance(rows, tuple):
            fixed = tuple(
                self.bank.backbone.fixed(some, levels, seed_for(seed, 0, "", str(bucket)))
                for bucket, some in enumerate(rows)
            )
        else:
            fixed = self.bank.backbone.fixed(rows, levels, seed)
        found = evaluate(self.bank, [EvalJob(client, adapter, fixed) for adapter in adapters])
        return torch.stack([losses.double().mean() for losses in found])

    def _bury(self, works: Sequence[Work]) -> Sequence[Any]:
        return [self._buried(*work.payload) for work in works]

    def _buried(self, rows: Rows | Shaped, level: float, told: bool, seed: int) -> tuple[Shaped, float] | UserError:
        noise = getattr(self.bank.backbone, "path", None)
        if noise is None:
            return UserError("this backbone buries nothing in noise, so its training cannot be split over denoising")
        shapes = enumerate(sets_of(rows))
        found = tuple(bury(some, noise, level, told, seed_for(seed, 0, "", str(shape))) for shape, some in shapes)
        signal, strength = noise.weights(torch.tensor([level]), torch.zeros(1, 1))
        return found, float((signal / strength) ** 2)

    def _side(self, works: Sequence[Work]) -> Sequence[Any]:
        """One after another, in passes of one client."""
        return [with_room(functools.partial(self._at_side, w), lambda: False, NO_ROOM) for w in works]

    def _at_side(self, work: Work) -> Any:
        assert self.sides is not None
        try:
            return self.sides.do(work.client, work.payload)
        except (NotFinite, LookupError) as error:
            return error

    def _sample(self, works: Sequence[Work]) -> Sequence[Any]:
        if self.bank.backbone.makes == "texts":
            return self._written(works)
        asked = [
            Request(prompt, mix, seed, self.steps, self.guidance) for w in works for prompt, mix, seed in w.payload
        ]
        pictures = sample(self.bank, asked, progress=functools.partial(self.progress, "sample"))
        cuts = np.cumsum([len(w.payload) for w in works])[:-1]
        return np.split(pictures, cuts)

    def _written(self, works: Sequence[Work]) -> Sequence[Any]:
        asked = [Asked(prompt, mix, seed) for w in works for prompt, mix, seed in w.payload]
        texts = iter(write(self.bank, asked, self.writing, progress=functools.partial(self.progress, "sample")))
        return [[next(texts) for _ in w.payload] for w in works]

    def _describe(self, works: Sequence[Work]) -> Sequence[Any]:
        vectors = wish_vectors(self.bank.backbone.pooled([work.payload for work in works]), self._public)
        return list(vectors)

    @functools.cached_property
    def _public(self) -> torch.Tensor:
        return self.bank.backbone.pooled(public_texts())
