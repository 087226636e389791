"""The loop around every form: choose a cohort, run a round, evaluate, save; then let everybody keep what is theirs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from coterie.core.adapter import Adapter
from coterie.core.form import Form
from coterie.core.shelf import shelf_name
from coterie.engines.book import Book
from coterie.engines.cohort import RoundCohort
from coterie.engines.exchanges import QuorumLost
from coterie.engines.keeper import Keeper
from coterie.engines.terms import Terms
from coterie.evals.held_out import HeldOut
from coterie.evals.pictures import noise_seed
from coterie.evals.wishes import KINDS, Listener, agreement
from coterie.federation.sampling import invite
from coterie.federation.wish_mode import wish_mode_of
from coterie.models.shelves import makes
from coterie.runs.attendance import Attendance
from coterie.runs.folder import RunFolder
from coterie.runs.gallery import artist_of, draw_all, draw_round
from coterie.runs.last_steps import last_steps
from coterie.runs.recipe import Recipe
from coterie.runs.routed import publish_centroids
from coterie.wire.meter import Meter

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

    @cached_property
    def people(self) -> Attendance:
        """Who is there when."""
        return Attendance(self.recipe.changes, tuple(self.terms.facts))

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
        """The next round (0 is enrolment), accepted as a whole or not at all.

        Where somebody came, left or has another wish, the form enrols before it trains, in the same attempt.
        """
        number, began = book.round + 1, time.monotonic()
        attempt = self.folder.next_attempt(book.attempt)
        news, before = self.people.news(number), state
        enrolling = self.cohort(news.asked, number, attempt, book.accepted, "enrol")
        enrolling.required = number == 0
        cohort = self.cohort((), number, attempt, book.accepted, "train")
        if not number:
            self.tell("round_started", round=number, attempt=attempt, clients=len(enrolling))
        try:
            leaving = await self.farewell(state, news.left, number, attempt, book.accepted)
            if any(news):
                state = await self.form.enrol(state, enrolling)
            noted = {} if state.numbers is before.numbers else dict(state.numbers)
            if number:
                cohort.strata, who = self.form.strata(state), self.recipe.cohort
                cohort.clients, cohort.enough = invite(
                    self.people.present(number), who.share, who.over, cohort.strata, self.recipe.seed, number
                )
                self.tell("round_started", round=number, attempt=attempt, clients=len(cohort))
                state = await self.form.round(state, cohort)
        except QuorumLost as lost:
            stops = not number or self.recipe.cohort.below_quorum == "stop"
            for some in (leaving, enrolling, cohort) if stops else (cohort,):
                book.meter.add(some.meter, wasted=True)
            if stops:
                raise
            self.tell("round_void", round=number, attempt=attempt, reason=str(lost))
            cohort.meter, cohort.touched, noted = Meter(), {}, {**noted, "round/void": 1.0}
            state = state._replace(numbers={})
        book = Book(number, attempt, {**book.accepted, **cohort.touched}, book.meter, list(book.scores))
        crossed, failed = Meter(), Counter[str]()
        for some in (leaving, enrolling, cohort):
            crossed.add(some.meter)
            failed.update(some.failed)
        book.meter.add(crossed)
        if number % self.recipe.evaluation.every == 0 or number == self.recipe.rounds:
            await self.score(state, book)
        if number and number % self.recipe.pictures.every == 0:
            await draw_round(
                self.folder, number, self.recipe.pictures.prompts, dict(self.form.adapters(state)), self.noise_seed
            )
        self.folder.save(state, book, self.terms.header)
        now = [s for s in book.scores if s["round"] == number and s["adapter"] == ("served" if number else "base")]
        own = [float(s["loss"].mean()) for s in now if s["test"] == "own"]
        self.tell(
            "round_done", round=number, attempt=attempt, seconds=round(time.monotonic() - began, 2),
            up_bytes=crossed.total(direction="up"), down_bytes=crossed.total(direction="down"),
            **({"across_bytes": across} if (across := crossed.total(direction="across")) else {}),
            loss=sum(own) / len(own) if own else None,
            **({"scored": others} if own and (others := other_people(book.scores, number)) else {}),
            numbers={**noted, **state.numbers},
            clusters=dict(self.form.strata(state)), failed=dict(sorted(failed.items())),
            **(news._asdict() if number and any(news) else {}),
        )  # fmt: skip
        return state, book

    async def farewell(
        self, state: Any, clients: tuple[str, ...], number: int, attempt: int, accepted: Mapping[str, str]
    ) -> RoundCohort:
        """Who leaves keeps what it was last served and makes what is personal, unless it is out of reach already."""
        leaving = self.cohort(clients, number, attempt, accepted, "keep")
        leaving.required = False
        await leaving.map(Keeper(self.form).client_keep, {c: self.form.serve(state, c) for c in leaving})
        return leaving

    async def score(self, state: Any, book: Book) -> None:
        """Held-out losses of what each client would be served now, on its own pictures; before that of the backbone.

        The backbone is scored in round 0, and by whoever came later when that is scored for the first time.
        """
        evaluation, here = HeldOut(), self.people.present(book.round)
        last = (book.round - 1) // self.recipe.evaluation.every * self.recipe.evaluation.every
        known = {score["client"] for score in book.scores if score["adapter"] == "base"}
        new = {c for c in here if self.people.came(c, book.round) > last} - known if book.round else set(here)
        book.scores.extend({**score, "round": book.round} for score in self.bare if score["client"] in new)
        if not self.tests:
            return  # somebody has no picture to spare
        cohort = self.cohort(here, book.round, book.attempt, book.accepted, "evaluate")
        scored = {}
        if first := sorted(new - {score["client"] for score in self.bare}):
            scored["base"] = await cohort.map(evaluation.client_base, {c: list(self.tests) for c in first})
        if book.round:
            local = not self.form.adapters(state)
            inputs = {c: {"adapter": self.form.serve(state, c), "tests": ["own"], "local": local} for c in cohort}
            scored["served"] = await cohort.map(evaluation.client_served, inputs)
        book.meter.add(cohort.meter)
        for adapter, replies in scored.items():
            for client, tests in replies.items():
                for test, got in tests.items():
                    who = {"round": book.round, "client": client, "test": test, "adapter": adapter}
                    book.scores.append({**who, "loss": got["levels"], "count": got["count"]})

    async def finish(self, state: Any, book: Book) -> dict[str, Any]:
        """Everybody keeps what is served, makes what is personal, is scored and draws; the server publishes."""
        keeper, evaluation = Keeper(self.form), HeldOut()
        painter, written = artist_of(self.recipe), makes(self.recipe.backbone) == "texts"
        here, left = self.people.present(book.round), self.unscored(state, book)
        self.tell("finishing", steps=last_steps(self.recipe, len(here), len(self.form.adapters(state)), left))
        cohort = self.cohort(here, self.recipe.rounds + 1, book.attempt, book.accepted, "keep")
        self.tell("finishing_step", step="keeping")
        kept = await cohort.map(keeper.client_keep, {c: self.form.serve(state, c) for c in cohort})
        scoring = replace(cohort, purpose="evaluate", call=0)
        known = self.served_scores(state, book)
        rest = [test for test in self.tests if test != "own"]
        asked = {c: {"served": rest if c in known else self.tests, "personal": self.tests} for c in scoring}
        self.tell("finishing_step", step="scoring")
        scores = await scoring.map(evaluation.client_kept, asked)
        self.tell("finishing_step", step="people")
        drawn = await scoring.map(
            painter.client_draw, dict.fromkeys(scoring if self.recipe.pictures.people else (), "final")
        )
        self.tell("finishing_step", step="copies")
        copied = await scoring.map(painter.client_copies, dict.fromkeys(scoring))
        units: dict[str, Any] = {}
        if written:
            units = dict((await scoring.map(evaluation.client_units, dict.fromkeys(scoring))).items())
        wishes = await self.other_wishes(scoring)
        book.meter.add(cohort.meter)
        self.tell("finishing_step", step="server")
        published = dict(self.form.adapters(state))
        self.folder.publish(published)
        publish_centroids(self.folder, getattr(state, "wishes", {}), self.form.strata(state))
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
            "clients": {
                c: {"examples": f.num_examples, "truth": f.truth, **self.people.dates(c)}
                for c, f in self.terms.facts.items()
            },
            "clusters": dict(self.form.strata(state)),
            "numbers": dict(state.numbers),
            "wishes": {c: w.tolist() for c, w in getattr(state, "wishes", {}).items()},
            "history": [{**s, **plain_score({"levels": s["loss"], "count": s["count"]})} for s in book.scores],
            "final": final,
            "personal": {c: k["personal"] for c, k in kept.items()},
            "pictures": {c: d["pictures"] for c, d in drawn.items()},
            "copies": {client: found for client, found in copied.items() if found["pictures"]},
            "other_wishes": wishes,
            **({"units": units} if written else {}),
            "bytes": book.meter.as_plain(),
            "work": book.meter.work_as_plain(),
            "failures": {**kept.failures, **scores.failures, **drawn.failures, **copied.failures},
        }

    def served_scores(self, state: Any, book: Book) -> dict[str, Mapping[str, Any]]:
        """By client, what the last round found for the adapter that is served at the end too: not to be scored twice.

        Without a published adapter everybody scored an adapter of their own, which is not the one that is served.
        """
        last = book.scores if book.round and self.form.adapters(state) else ()
        return {s["client"]: s for s in last if s["round"] == book.round and s["adapter"] == "served"}

    def unscored(self, state: Any, book: Book) -> int:
        """About how many held-out examples by noise levels are scored at the end.

        Those of what is served that are not known yet, and all of what each keeps where that is another adapter.
        """
        sizes = {(s["client"], s["test"]): s["count"] * len(s["loss"]) for s in book.scores if s["adapter"] == "base"}
        known = self.served_scores(state, book)
        again = sum(size for (client, test), size in sizes.items() if test == "own" and client in known)
        personal = shelf_name(getattr(self.form, "keeping", self.form)) != "none"
        return int((1 + personal) * sum(sizes.values()) - again)

    async def other_wishes(self, cohort: RoundCohort) -> dict[str, Any]:
        """How well each kind of wish finds the true groups, where both are known."""
        grouping = getattr(self.form, "grouping", None)
        known = all(fact.truth is not None for fact in cohort.everybody.values())
        if grouping is None or grouping.reads != "wishes" or not known or len(cohort) < 3:
            return {}
        found, mode = {}, wish_mode_of(self.form)
        for kind in KINDS:
            replies = await cohort.map(Listener().client_wish, dict.fromkeys(cohort, kind))
            vectors = {client: mode.opened(sent) for client, sent in replies.items() if sent is not None}
            if len(vectors) == len(cohort):
                found[kind] = agreement(grouping, vectors, cohort.everybody, self.recipe.seed)
        return found

    @property
    def noise_seed(self) -> int:
        """Where the fixed prompts' noise begins, the same for everybody and for every round."""
        return noise_seed(self.recipe.seed)

    def cohort(
        self, clients: tuple[str, ...], number: int, attempt: int, accepted: Mapping[str, str], purpose: str
    ) -> RoundCohort:
        here = {c: self.terms.facts[c] for c in sorted({*self.people.present(number), *clients})}  # who leaves too
        return RoundCohort(clients, replace(self.terms, facts=here), number, attempt, dict(accepted), purpose)


def other_people(scores: Sequence[Mapping[str, Any]], number: int) -> dict[str, int]:
    """How many ``people`` a round's loss is the mean of, how many of them are ``new`` since the loss before it and how
    many are ``gone``; empty if they are the same people, or there is no loss before it.
    """
    who: dict[int, set[str]] = {}
    for score in scores:  # later rounds have some of the bare backbone too, of newcomers
        if score["test"] == "own" and score["adapter"] == ("served" if score["round"] else "base"):
            who.setdefault(score["round"], set()).add(score["client"])
    now, before = who[number], who.get(max((r for r in who if r < number), default=-1))
    if before is None or before == now:
        return {}
    return {"people": len(now), "new": len(now - before), "gone": len(before - now)}


def plain_score(got: Mapping[str, Any]) -> dict[str, Any]:
    """A score as JSON: mean loss, loss in four groups of noise levels from clean to noisy, or in one, and examples."""
    levels = got["levels"]
    groups = levels.view(4 if len(levels) > 1 else 1, -1).mean(1)
    return {"loss": float(groups.mean()), "levels": [float(x) for x in groups], "count": int(got["count"])}
