"""The loop around every form: choose a cohort, run a round, evaluate, save; then let everybody keep what is theirs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coterie.core.adapter import Adapter
from coterie.core.protocols import Form
from coterie.engines.book import Book
from coterie.engines.cohort import QuorumLost, RoundCohort, Terms
from coterie.engines.keeper import Keeper
from coterie.evals.held_out import HeldOut
from coterie.evals.pictures import Painter, noise_seed
from coterie.evals.wishes import KINDS, Listener, agreement
from coterie.federation.sampling import sample
from coterie.runs.folder import RunFolder
from coterie.runs.gallery import draw_all, draw_round
from coterie.runs.recipe import Recipe

Tell = Callable[..., None]


@dataclass
class Loop:
    """One run, from wherever its folder says it is to its end.

    Attributes:
        recipe: resolved.
        folder: of the run, locked by this process.
        terms: of all exchanges.
        start: the adapter that everybody starts from.
        tests: names of the test sets that sites have.
        backbone: its ``parameters`` in all, for comparison, and which ``component`` of a pipeline it is.
        tell: called with an event's name and its fields; the journal and the terminal listen.
        bare: scores of the bare backbone, where another run on the same pictures has them already.
    """

    recipe: Recipe
    folder: RunFolder
    terms: Terms
    start: Adapter
    tests: tuple[str, ...]
    backbone: Mapping[str, Any]
    tell: Tell
    bare: Sequence[Mapping[str, Any]] = ()

    @property
    def form(self) -> Form:
        return self.recipe.form

    async def play(self) -> dict[str, Any]:
        """Enrols, trains all rounds that are not yet done, and finishes; returns what ``results.json`` holds."""
        saved = self.folder.load(self.form, self.terms.header, self.terms.layouts)
        state, book, broken = saved or (await self.form.init(self.start), Book(), [])
        if saved:
            self.tell("resumed", round=book.round, broken=broken)
        while book.round < self.recipe.rounds:
            state, book = await self.one_round(state, book)
        return await self.finish(state, book)

    async def one_round(self, state: Any, book: Book) -> tuple[Any, Book]:
        """The next round (0 is enrolment), accepted as a whole or not at all."""
        number, began = book.round + 1, time.monotonic()
        attempt = self.folder.next_attempt(book.attempt)
        clients = tuple(self.terms.facts)
        if number:
            chosen = sample(clients, self.recipe.cohort.share, self.form.strata(state), self.recipe.seed, number)
        else:
            chosen = clients
        self.tell("round_started", round=number, attempt=attempt, clients=len(chosen))
        cohort = self.cohort(chosen, number, attempt, book.accepted, "train" if number else "enrol")
        try:
            state = await (self.form.round if number else self.form.enrol)(state, cohort)
        except QuorumLost:
            book.meter.add(cohort.meter, wasted=True)
            raise
        book = Book(number, attempt, {**book.accepted, **cohort.touched}, book.meter, list(book.scores))
        book.meter.add(cohort.meter)
        if number % self.recipe.evaluation.every == 0 or number == self.recipe.rounds:
            await self.score(state, book)
        if number and number % self.recipe.pictures.every == 0:
            await draw_round(
                self.folder, number, self.recipe.pictures.prompts, dict(self.form.adapters(state)), self.noise_seed
            )
        self.folder.save(state, book, self.terms.header)
        own = [float(s["loss"].mean()) for s in book.scores if s["round"] == number and s["test"] == "own"]
        self.tell(
            "round_done", round=number, attempt=attempt, seconds=round(time.monotonic() - began, 2),
            up_bytes=cohort.meter.total(direction="up"), down_bytes=cohort.meter.total(direction="down"),
            loss=sum(own) / len(own) if own else None, numbers=dict(state.numbers),
            clusters=dict(self.form.strata(state)), failed=dict(sorted(cohort.failed.items())),
        )  # fmt: skip
        return state, book

    async def score(self, state: Any, book: Book) -> None:
        """Held-out losses of what each client would be served now, on its own pictures; round 0 is the backbone."""
        if book.round == 0 and self.bare:
            book.scores.extend(dict(score) for score in self.bare)
            return
        if not self.tests:
            return  # somebody has no picture to spare
        evaluation = HeldOut()
        cohort = self.cohort(tuple(self.terms.facts), book.round, book.attempt, book.accepted, "evaluate")
        if book.round == 0:
            replies = await cohort.map(evaluation.client_base, {c: list(self.tests) for c in cohort})
        else:
            local = not self.form.adapters(state)
            inputs = {c: {"adapter": self.form.serve(state, c), "tests": ["own"], "local": local} for c in cohort}
            replies = await cohort.map(evaluation.client_served, inputs)
        book.meter.add(cohort.meter)
        for client, tests in replies.items():
            for test, got in tests.items():
                who = {"round": book.round, "client": client, "test": test}
                scored = {"adapter": "served" if book.round else "base", "loss": got["levels"], "count": got["count"]}
                book.scores.append({**who, **scored})

    async def finish(self, state: Any, book: Book) -> dict[str, Any]:
        """Everybody keeps what is served, makes what is personal, is scored and draws; the server publishes."""
        self.tell("finishing")
        keeper, evaluation = Keeper(self.form), HeldOut()
        painter = Painter(tuple(self.recipe.pictures.prompts), self.recipe.evaluation.copies, self.recipe.seed)
        cohort = self.cohort(tuple(self.terms.facts), self.recipe.rounds + 1, book.attempt, book.accepted, "keep")
        kept = await cohort.map(keeper.client_keep, {c: self.form.serve(state, c) for c in cohort})
        scoring = replace(cohort, purpose="evaluate", call=0)
        known = self.served_scores(state, book)
        rest = [test for test in self.tests if test != "own"]
        asked = {c: {"served": rest if c in known else self.tests, "personal": self.tests} for c in scoring}
        scores = await scoring.map(evaluation.client_kept, asked)
        drawn = await scoring.map(
            painter.client_draw, dict.fromkeys(scoring if self.recipe.pictures.people else (), "final")
        )
        copied = await scoring.map(painter.client_copies, dict.fromkeys(scoring))
        wishes = await self.other_wishes(scoring)
        book.meter.add(cohort.meter)
        published = dict(self.form.adapters(state))
        self.folder.publish(published)
        await draw_all(
            self.folder, self.recipe.pictures.prompts, published, self.noise_seed, self.recipe.pictures.hybrids
        )
        final = [{**s, **plain_score({"levels": s["loss"], "count": s["count"]})} for s in known.values()]
        final += [
            {"round": self.recipe.rounds, "client": client, "test": test, "adapter": adapter, **plain_score(got)}
            for client, adapters in scores.items()
            for adapter, tests in adapters.items()
            for test, got in tests.items()
        ]
        return {
            "clients": {c: {"examples": f.num_examples, "truth": f.truth} for c, f in self.terms.facts.items()},
            "clusters": dict(self.form.strata(state)),
            "numbers": dict(state.numbers),
            "wishes": {c: w.tolist() for c, w in getattr(state, "wishes", {}).items()},
            "history": [{**s, **plain_score({"levels": s["loss"], "count": s["count"]})} for s in book.scores],
            "final": final,
            "personal": {c: k["personal"] for c, k in kept.items()},
            "pictures": {c: d["pictures"] for c, d in drawn.items()},
            "copies": dict(copied.items()),
            "other_wishes": wishes,
            "bytes": book.meter.as_plain(),
            "failures": {**kept.failures, **scores.failures, **drawn.failures, **copied.failures},
        }

    def served_scores(self, state: Any, book: Book) -> dict[str, Mapping[str, Any]]:
        """By client, what the last round found for the adapter that is served at the end too: not to be scored twice.

        Without a published adapter everybody scored an adapter of their own, which is not the one that is served.
        """
        last = book.scores if book.round and self.form.adapters(state) else ()
        return {s["client"]: s for s in last if s["round"] == book.round}

    async def other_wishes(self, cohort: RoundCohort) -> dict[str, Any]:
        """How well each kind of wish finds the true groups, where both are known."""
        grouping = getattr(self.form, "grouping", None)
        known = all(fact.truth is not None for fact in self.terms.facts.values())
        if grouping is None or grouping.reads != "wishes" or not known or len(cohort) < 3:
            return {}
        found = {}
        for kind in KINDS:
            replies = await cohort.map(Listener().client_wish, dict.fromkeys(cohort, kind))
            vectors = {client: vector for client, vector in replies.items() if vector is not None}
            if len(vectors) == len(cohort):
                found[kind] = agreement(grouping, vectors, self.terms.facts, self.recipe.seed)
        return found

    @property
    def noise_seed(self) -> int:
        """Where the fixed prompts' noise begins, the same for everybody and for every round."""
        return noise_seed(self.recipe.seed)

    def cohort(
        self, clients: tuple[str, ...], number: int, attempt: int, accepted: Mapping[str, str], purpose: str
    ) -> RoundCohort:
        return RoundCohort(clients, self.terms, number, attempt, dict(accepted), purpose)


def plain_score(got: Mapping[str, Any]) -> dict[str, Any]:
    """A score as JSON: mean loss, loss in four groups of noise levels from clean to noisy, pictures."""
    levels = got["levels"]
    groups = levels.view(4, -1).mean(1)
    return {"loss": float(groups.mean()), "levels": [float(x) for x in groups], "count": int(got["count"])}
