"""How well adapters draw what people held out: shares of the backbone's loss removed, by person and by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from statistics import fmean
from typing import Any

from coterie.report.read import Arm, Score
from coterie.report.words import few

TESTS = ("own", "style")
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Measures:
    """Scores of one run, found by client, test set and adapter.

    A share removed is ``1 - loss / loss of the backbone`` on the same pictures, noise levels and noise: the number that
    ``coterie.evals.held_out.removed`` defines. It is negative if the adapter made things worse.
    """

    arm: Arm

    @cached_property
    def _base(self) -> dict[Key, Score]:
        return {(s.client, s.test, s.adapter): s for s in self.arm.history if s.adapter == "base"}

    @cached_property
    def _final(self) -> dict[Key, Score]:
        return {(s.client, s.test, s.adapter): s for s in self.arm.final}

    @cached_property
    def _served(self) -> dict[tuple[int, str], Score]:
        return {(s.round, s.client): s for s in self.arm.history if s.test == "own" and s.adapter == "served"}

    def base(self, client: str, test: str) -> Score | None:
        """The bare backbone."""
        return self._base.get((client, test, "base"))

    def final(self, client: str, test: str, adapter: str) -> Score | None:
        """What was ``served`` or is ``personal`` at the end."""
        return self._final.get((client, test, adapter))

    def kept(self, client: str) -> str:
        """What a person uses in the end: ``personal`` where there is one, else ``served``."""
        return "personal" if (client, "own", "personal") in self._final else "served"

    @cached_property
    def any_personal(self) -> bool:
        return any(adapter == "personal" for _, _, adapter in self._final)

    def removed(self, client: str, test: str, adapter: str = "") -> float | None:
        """Share of the backbone's loss removed in the end by the named adapter, or by what the person keeps."""
        return _share(self.base(client, test), self.final(client, test, adapter or self.kept(client)))

    def removed_by_level(self, client: str, test: str) -> list[float]:
        """The same for what the person keeps, in four groups of noise levels from clean to noisy."""
        base, kept = self.base(client, test), self.final(client, test, self.kept(client))
        if base is None or kept is None or len(base.levels) != len(kept.levels) or not all(base.levels):
            return []
        return [1 - k / b for b, k in zip(base.levels, kept.levels, strict=True)]

    def removed_after(self, round: int, client: str) -> float | None:
        """Share removed on a person's own held-out pictures by what was served after a round; 0 before training.

        Who came later has no score of the backbone in round 0, but one in the round that it was first scored in.
        """
        base = self.base(client, "own")
        if round == 0:
            return None if base is None or base.round > 0 else 0.0
        return _share(base, self._served.get((round, client)))

    def everybody(self, test: str, adapter: str = "") -> list[float]:
        """Shares removed of all clients that have both scores."""
        found = (self.removed(client, test, adapter) for client in self.arm.clients)
        return [x for x in found if x is not None]

    @cached_property
    def rounds(self) -> list[int]:
        return sorted({s.round for s in self.arm.history})

    def line(self, rounds: Sequence[int], members: Sequence[str]) -> list[float | None]:
        """Mean share removed of some clients after each round; None where a round was not scored."""
        values: list[float | None] = []
        for number in rounds:
            found = [x for x in (self.removed_after(number, c) for c in members) if x is not None]
            values.append(round(fmean(found), 5) if found else None)
        return values


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, worst and best; None of nothing."""
    return {"mean": fmean(values), "worst": min(values), "best": max(values)} if values else None


def curves(
    own: Measures,
    control: Measures | None,
    clusters: Mapping[str, int],
    control_name: str,
    everybody: str = "everybody",
) -> dict[str, Any]:
    """A line for each cluster, or one for everybody, and one for the control."""
    rounds = own.rounds
    groups = {name: [c for c, k in own.arm.clusters.items() if k == name] for name in clusters}
    lines: list[dict[str, Any]] = []
    for name, members in (groups or {everybody: list(own.arm.clients)}).items():
        label = f"{name}: {few(sorted(members))}" if groups else name
        values = own.line(rounds, members)
        lines.append({"label": label, "short": name, "cluster": clusters.get(name, 0), "values": values})
    if control is not None and control.rounds:
        values = control.line(rounds, list(control.arm.clients))
        lines.append({"label": f"control: {control_name.lower()}", "short": "control", "cluster": -1, "values": values})
    drawn = any(v is not None for line in lines for v in line["values"][1:])
    return {"rounds": rounds, "lines": lines if drawn else []}


def agreement(arm: Arm) -> float | None:
    """Adjusted Rand index of the clusters against the true groups, where all are known."""
    clients = [c for c in arm.clients if c in arm.clusters]
    truth = [arm.clients[c].truth for c in clients]
    if len(clients) < 2 or any(t is None for t in truth):
        return None
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score([str(t) for t in truth], [arm.clusters[c] for c in clients]))


def at_least(hits: int, draws: int, chance: float) -> float:
    """Probability of so many hits or more in independent draws: the binomial tail.

    >>> at_least(1, 2, 0.5)
    0.75
    """
    return float(sum(comb(draws, k) * chance**k * (1 - chance) ** (draws - k) for k in range(hits, draws + 1)))


def _share(base: Score | None, other: Score | None) -> float | None:
    return None if base is None or other is None or not base.loss else 1 - other.loss / base.loss
