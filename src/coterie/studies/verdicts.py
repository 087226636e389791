"""From committed results to shares, paired differences and verdicts: pure functions of what was measured.

The unit is the client, for the kernel distance the look. Clients are averaged within their look and looks count alike;
who is reported apart is in no mean. Intervals are the hierarchical bootstrap's, over seeds and clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coterie.evals.hierarchical import hierarchical, hierarchical_ratio
from coterie.studies.recipe import BASE, LOWER_IS_BETTER, MEASURES, Hypothesis

SHARES = {"removed": "own", "early": "early", "everything": "everything"}
"""Measures that are a share of the bare model's loss, and where the loss is noted."""

HEADERS = 0.01  # of bytes: the first round's messages are not quite as long as the later ones

Results = Mapping[tuple[str, int], Mapping[str, Any]]
"""By arm and seed."""


@dataclass(frozen=True)
class Verdict:
    """What became of a hypothesis.

    Attributes:
        hypothesis: as registered.
        outcome: ``supported``, ``not supported`` or ``not measured``.
        mean: of what the criterion reads; None where it was not measured.
        low: lower end of its 95 % interval, None where there is none.
        high: upper end.
        won: looks in which the mean difference is above zero.
        of: looks in all.
        note: what a reader should know.
    """

    hypothesis: Hypothesis
    outcome: str
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    won: int = 0
    of: int = 0
    note: str = ""


def values(results: Results, arm: str, seed: int, measure: str) -> dict[str, float]:
    """One number of an arm and seed for each client, or each look for ``kid``; more is better but for ``kid``.

    Empty if it was not measured.
    """
    mine, base = results[arm, seed], results.get((BASE, seed))
    if measure == "kid":
        return {look: float(found["kid"]) for look, found in mine["styles"].items()}
    found = {}
    for name, person in mine["people"].items():
        bare = base["people"].get(name) if base is not None and not mine.get("own_bare") else None
        if person["apart"]:
            continue
        if measure in SHARES and SHARES[measure] in person:
            against = person.get("bare") if bare is None else bare["everything" if measure == "everything" else "own"]
            if against is not None:
                found[name] = 1 - fmean(person[SHARES[measure]]) / fmean(against)
        elif f"{measure}_share" in person and bare is not None:
            found[name] = person[f"{measure}_share"] - (bare["style_share"] if measure == "style" else 0)
    return found


def looks_of(results: Results, arm: str, seed: int, measure: str) -> list[str]:
    """The look of each of ``values``, in their order: the groups of the bootstrap."""
    names = values(results, arm, seed, measure)
    people = results[arm, seed]["people"]
    return list(names) if measure == "kid" else [people[name]["style"] for name in names]


def seeds_of(results: Results, arms: Sequence[str]) -> list[int]:
    """Seeds that all of the arms have results of."""
    return sorted(set.intersection(*({s for a, s in results if a == arm} for arm in (*arms, BASE))))


def grid(
    results: Results, arm: str, seeds: Sequence[int], measure: str, names: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """``(seeds, clients)``, of the clients named; none are all."""
    rows = [values(results, arm, seed, measure) for seed in seeds]
    return np.array([[row[name] for name in (row if names is None else names)] for row in rows], np.float64)


def shared(results: Results, arms: Sequence[str], seeds: Sequence[int], measure: str) -> list[str]:
    """Clients, or looks, that all of the arms have measured in every seed, in the first arm's order."""
    sets = [values(results, arm, seed, measure) for arm in arms for seed in seeds]
    return [name for name in sets[0] if all(name in found for found in sets)]


def macro(table: NDArray[np.float64], looks: Sequence[str]) -> NDArray[np.float64]:
    """Mean over looks of the mean over their clients: ``(seeds, clients)`` to ``(seeds,)``."""
    names = list(dict.fromkeys(looks))
    by_look = [table[:, [i for i, look in enumerate(looks) if look == name]].mean(1) for name in names]
    out: NDArray[np.float64] = np.mean(by_look, 0)
    return out


def worst_tenth(table: NDArray[np.float64]) -> float:
    """Mean of the worst tenth of clients, at least one, each averaged over seeds."""
    people = np.sort(table.mean(0))
    return float(people[: max(1, round(len(people) / 10))].mean())


def won(difference: NDArray[np.float64], looks: Sequence[str]) -> tuple[int, int]:
    """Looks whose clients are ahead on average, and how many looks there are."""
    names = list(dict.fromkeys(looks))
    means = [difference[:, [i for i, look in enumerate(looks) if look == name]].mean() for name in names]
    return sum(bool(mean > 0) for mean in means), len(names)


def verdict(h: Hypothesis, results: Results) -> Verdict:
    """Whether a hypothesis' criterion holds."""
    arms = [name for name in (h.better, h.other, h.reference, *h.even) if name]
    seeds = seeds_of(results, arms)
    if not seeds:
        known = {arm for arm, _ in results}
        missing = [name for name in (*arms, BASE) if name not in known]
        return Verdict(h, "not measured", note=f"no result of {', '.join(missing) or 'a seed that all arms have'}")
    if h.criterion == "reaches":
        return _reaches(h, results, seeds)
    if h.criterion == "cheaper":
        return _cheaper(h, results, seeds)
    sign = -1 if h.measure in LOWER_IS_BETTER else 1
    names = shared(results, arms, seeds, h.measure)
    tables = {name: sign * grid(results, name, seeds, h.measure, names) for name in arms}
    if not tables[h.better].size:
        return Verdict(h, "not measured", note=f"no {h.measure} was measured")
    people = results[h.better, seeds[0]]["people"]
    looks = names if h.measure == "kid" else [people[name]["style"] for name in names]
    groups = () if h.measure == "kid" else looks  # there the looks themselves are drawn
    difference = tables[h.better] - tables[h.other]
    if h.criterion == "steadier":
        difference = difference - (tables[h.even[0]] - tables[h.even[1]])
    ahead, of = won(difference, looks)
    if h.criterion == "share":
        whole = tables[h.reference] - tables[h.other]
        if float(macro(whole, looks).mean()) <= 0:
            note = f"{h.reference} gains nothing over {h.other}, so there is nothing to have a share of"
            return Verdict(h, "not supported", won=ahead, of=of, note=note)
        found = hierarchical_ratio(difference, whole, groups)
        return _judged(h, found.mean >= h.margin, (found.mean, found.low, found.high), (ahead, of), "")
    interval = hierarchical(difference, groups)
    if h.criterion == "no worse":
        holds = (interval.mean if interval.low is None else interval.low) >= -h.margin
    else:
        holds = interval.mean >= h.margin and interval.low is not None and interval.low > 0 and ahead >= h.won
    return _judged(h, holds, (interval.mean, interval.low, interval.high), (ahead, of), _few(seeds))


def to_target(result: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, float] | None:
    """Rounds, bytes and seconds after which an arm's mean held-out loss is at the target's final one; None if never."""
    if not target["rounds"]:
        return None
    wanted = target["rounds"][-1]["loss"]
    return next((dict(r) for r in result["rounds"] if r["loss"] <= wanted * (1 + 1e-9)), None)


def criterion_in_words(h: Hypothesis) -> str:
    """For tables and the registration."""
    if h.criterion == "reaches":
        return f"its final loss after at most {h.margin:g} of its rounds and bytes, in every seed"
    if h.criterion == "cheaper":
        return f"at most {h.margin:g} of its bytes up, in every seed"
    if h.criterion == "steadier":
        return f"loses {h.margin:g} less than it against {h.even[0]} and {h.even[1]}, interval above 0"
    if h.criterion == "share":
        return f"at least {h.margin:g} of the gain of {h.reference}"
    if h.criterion == "no worse":
        return f"interval not below {-h.margin:g}"
    looks = f", ahead in {h.won} looks" if h.won else ""
    return f"by {h.margin:g} on average, interval above 0{looks}"


def summary(results: Results, arm: str, target: str) -> dict[str, Any]:
    """The numbers of one arm for the table: means over looks by measure and seed, the worst tenth, rounds to target."""
    seeds = seeds_of(results, [arm])
    mine = [results[arm, seed] for seed in seeds]
    found: dict[str, Any] = {"name": arm, "seeds": seeds}
    for measure in MEASURES:
        table = grid(results, arm, seeds, measure)
        if table.size:
            looks = looks_of(results, arm, seeds[0], measure)
            found[measure] = macro(table, looks).tolist()
            names = list(dict.fromkeys(looks))
            found[f"{measure}_by_look"] = {
                name: float(table[:, [i for i, look in enumerate(looks) if look == name]].mean()) for name in names
            }
    found["worst"] = worst_tenth(grid(results, arm, seeds, "removed"))
    found["levels"] = _levels(results, arm, seeds)
    spreads = [look["spread"] for result in mine for look in result["styles"].values()]
    if spreads:
        found["spread"] = fmean(spreads)
    copies = [p["copies"] for result in mine for p in result["people"].values() if p["copies"] and p["copies"][1]]
    found["copies"] = [sum(c[0] for c in copies), sum(c[1] for c in copies), sum(c[1] * c[2] for c in copies)]
    for key in ("up_bytes", "down_bytes", "across_bytes", "seconds"):
        found[key] = fmean(float(result.get(key, 0)) for result in mine)
    found["drift"] = {what: fmean(r["drift"][what] for r in mine) for what in mine[0].get("drift", ())}
    found["air"] = _aired(mine)
    reached = [to_target(r, results[target, s]) for r, s in zip(mine, seeds, strict=True) if (target, s) in results]
    found["reached"] = reached
    found["apart"] = _apart(results, arm, seeds)
    return found


def _reaches(h: Hypothesis, results: Results, seeds: Sequence[int]) -> Verdict:
    shares = []
    for seed in seeds:
        target = results[h.other, seed]
        got = to_target(results[h.better, seed], target)
        if got is None:
            return Verdict(h, "not supported", note=f"in seed {seed} it never comes to that loss")
        last = target["rounds"][-1]
        shares.append(got["round"] / last["round"])
        if last["bytes"] and got["bytes"] / last["bytes"] > h.margin * (1 + HEADERS):
            shares[-1] = max(shares[-1], got["bytes"] / last["bytes"])
    note = f"rounds and bytes are counted in whole rounds, of {len(results[h.other, seeds[0]]['rounds'])}"
    return _judged(h, max(shares) <= h.margin, (fmean(shares), min(shares), max(shares)), (0, 0), note)


def _cheaper(h: Hypothesis, results: Results, seeds: Sequence[int]) -> Verdict:
    """Bytes that clients sent, to the server or to each other."""
    sent = {arm: [results[arm, s]["up_bytes"] + results[arm, s].get("across_bytes", 0) for s in seeds]
            for arm in (h.better, h.other)}  # fmt: skip
    if not all(sent[h.other]):
        return Verdict(h, "not measured", note=f"clients of {h.other} send nothing")
    shares = [mine / theirs for mine, theirs in zip(sent[h.better], sent[h.other], strict=True)]
    return _judged(h, max(shares) <= h.margin, (fmean(shares), min(shares), max(shares)), (0, 0), "")


def _aired(mine: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Modelled seconds and joules of the whole run by profile, mean over seeds."""
    profiles = [name for result in mine[:1] for name in result.get("air", {})]
    return {
        name: {key: fmean(result["air"][name][-1][key] for result in mine) for key in ("until", "joules_until")}
        for name in profiles
    }


def _judged(
    h: Hypothesis, holds: bool, numbers: tuple[float, float | None, float | None], looks: tuple[int, int], note: str
) -> Verdict:
    return Verdict(h, "supported" if holds else "not supported", *numbers, *looks, note)


def _few(seeds: Sequence[int]) -> str:
    return "one seed: the interval is over clients only" if len(seeds) == 1 else ""


def _levels(results: Results, arm: str, seeds: Sequence[int]) -> list[float]:
    """Share removed in groups of noise levels, over people who are not apart and seeds."""
    pairs = []
    for seed in seeds:
        result, base = results[arm, seed], results.get((BASE, seed), {}).get("people", {})
        for name, person in result["people"].items():
            bare = person.get("bare") if result.get("own_bare") else base.get(name, {}).get("own")
            if bare is not None and not person["apart"]:
                pairs.append((person["own"], bare))
    counted = range(len(pairs[0][0])) if pairs else range(0)
    return [1 - fmean(own[level] for own, _ in pairs) / fmean(bare[level] for _, bare in pairs) for level in counted]


def _apart(results: Results, arm: str, seeds: Sequence[int]) -> dict[str, float]:
    """Share removed of each person who is reported apart, mean over seeds."""
    names = [name for name, person in results[arm, seeds[0]]["people"].items() if person["apart"]]
    return {
        name: fmean(
            1 - fmean(results[arm, s]["people"][name]["own"]) / fmean(results[BASE, s]["people"][name]["own"])
            for s in seeds
        )
        for name in names
    }
