"""From a finished run and what it drew to numbers by person and by look: one JSON value for each arm and seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from coterie.data.picture import squares
from coterie.evals.kid import kernel_distance, spread
from coterie.report.read import Arm as Run
from coterie.report.read import read_arm
from coterie.runs.air import price
from coterie.studies.cast import EVERYBODY, cast_of
from coterie.studies.chosen import Chosen
from coterie.studies.drawing import drawn, orders
from coterie.studies.judges import SIDE, judges_of, kinds, real_pictures


def measured(chosen: Chosen, out: Path, path: Path, seed: int) -> dict[str, Any]:
    """All that is measured of one run.

    ``people``: by name the look, losses on the own and on all held-out examples in groups of noise levels with what is
    kept, the bare model's and those after the first round, copies. ``rounds``: held-out loss, bytes and seconds until
    the end of each. With judges also what ``judged`` finds, and with profiles of the air what the run costs on each.
    """
    run, cast = read_arm(path), cast_of(chosen)
    own, everything = losses(run, "own"), losses(run, "style")
    bare, early = after(run, 0, "base"), after(run, 1, "served")
    people: dict[str, dict[str, Any]] = {}
    for name in run.clients:
        copies = run.copies.get(name)
        people[name] = {
            "style": cast.looks.get(name, "" if name in cast.apart else run.clients[name].truth or EVERYBODY),
            "apart": cast.apart.get(name, ""),
            "own": own[name],
            "everything": everything.get(name, own[name]),
            **({"bare": bare[name]} if name in bare else {}),
            **({"early": early[name]} if name in early else {}),
            "copies": [copies.copies, copies.pictures, copies.expected] if copies else None,
        }
    looks: dict[str, dict[str, float]] = {}
    if chosen.study.judging is not None:
        seen, looks = judged(chosen, out, path, seed)
        for name, shares in seen.items():
            people[name] |= shares
    meter = run.meter
    across = meter.total(direction="across", purpose="train")
    return {
        "people": people,
        "styles": looks,
        "rounds": rounds(run),
        "drift": drift(run),
        "up_bytes": meter.total(direction="up", purpose="train") + meter.total(direction="up", purpose="enrol"),
        "down_bytes": meter.total(direction="down", purpose="train"),
        **({"across_bytes": across} if across else {}),
        "seconds": float(run.results["seconds"]),
        "clusters": dict(run.clusters),
        "agreement": {kind: found["ari"] for kind, found in (run.results.get("other_wishes") or {}).items()},
        "backbone": run.digest,
        **({"air": on_the_air(path, chosen.study.air)} if chosen.study.air and run.meter.num_bytes else {}),
    }


def judged(
    chosen: Chosen, out: Path, path: Path, seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """What a run draws and what the judges say of it: by person shares of drawings that are given to the right class,
    by look kernel distance and spread.
    """
    real, judges = real_pictures(chosen, True), judges_of(chosen, out)
    pictures, wanted = drawn(chosen, real, path, seed), orders(chosen, real, seed)
    people: dict[str, dict[str, float]] = {}
    looks: dict[str, dict[str, float]] = {}
    for look, table in real.held_out.items():
        rows, seen = wanted[look], squares(pictures[look], SIDE)
        said, features = judges.style.names(seen), judges.extractor.features(seen)
        on_subject = judges.subject.names(seen) if judges.subject is not None else None
        right = kinds(table)
        for name in dict.fromkeys(person for person, *_ in rows):
            mine = [i for i, (person, *_) in enumerate(rows) if person == name]
            people[name] = {"drawn": len(mine), "style_share": fmean(said[i] == look for i in mine)}
            if on_subject is not None:
                people[name]["subject_share"] = fmean(on_subject[i] == right[rows[i][3]] for i in mine)
        reference = judges.extractor.features(squares(table.pixels, SIDE))
        looks[look] = {
            "kid": kernel_distance(features, reference),
            "drawn": len(rows),
            "reference": len(reference),
            "spread": spread(features),
            "real_spread": spread(reference),
        }
    return people, looks


def on_the_air(path: Path, profiles: Sequence[str]) -> dict[str, list[dict[str, float]]]:
    """By profile and round: modelled seconds and joules of all clients until its end, and the held-out loss then."""
    found = price(path, profiles)["profiles"]
    keys = ("round", "until", "joules_until", "loss")
    return {name: [{key: lap[key] for key in keys} for lap in one["rounds"]] for name, one in found.items()}


def after(run: Run, number: int, adapter: str) -> dict[str, list[float]]:
    """By person: held-out loss of an adapter on the own examples after a round, in groups of noise levels."""
    return {s.client: list(s.levels) for s in run.history if (s.round, s.adapter, s.test) == (number, adapter, "own")}


def losses(run: Run, test: str) -> dict[str, list[float]]:
    """By person: held-out loss in four groups of noise levels, with what the person keeps in the end."""
    found: dict[str, list[float]] = {}
    for score in sorted(run.final, key=lambda s: s.adapter == "personal"):  # personal last, so that it stands
        if score.test == test:
            found[score.client] = list(score.levels)
    return found


def rounds(run: Run) -> list[dict[str, float]]:
    """For each round of training: mean held-out loss of everybody, bytes and seconds from the beginning until then."""
    done = {e["round"]: e for e in run.events if e.get("event") == "round_done" and e.get("loss") is not None}
    found, moved, spent = [], 0.0, 0.0
    for number in sorted(done):
        event = done[number]
        moved += event["up_bytes"] + event["down_bytes"] + event.get("across_bytes", 0)
        spent += event["seconds"]
        found.append({"round": number, "loss": event["loss"], "bytes": moved, "seconds": spent})
    return found[1:] if found and found[0]["round"] == 0 else found


def drift(run: Run) -> dict[str, float]:
    """Means over rounds of what ``federation/drift.py`` says, in each over the groups that there were."""
    found: dict[str, list[float]] = {}
    for event in run.events:
        laps: dict[str, list[float]] = {}
        for key, value in (event.get("numbers") or {}).items():
            if key.startswith("drift/"):
                laps.setdefault(key.split("/")[1], []).append(value)
        for what, values in laps.items():
            found.setdefault(what, []).append(fmean(values))
    return {what: fmean(values) for what, values in sorted(found.items())}


def mean_loss(result: dict[str, Any]) -> float:
    """Mean over people of their own held-out loss."""
    return fmean(float(np.mean(person["own"])) for person in result["people"].values())
