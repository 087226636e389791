"""From a finished run and what it drew to numbers by person and by look: one JSON value for each arm and seed."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from coterie.data.picture import squares
from coterie.evals.kid import kernel_distance, spread
from coterie.report.read import Arm as Run
from coterie.report.read import read_arm
from coterie.studies.drawing import drawn, orders
from coterie.studies.judges import SIDE, Judges, Real, kinds, styles_of
from coterie.studies.recipe import Chosen
from coterie.studies.registration import people_of


def measured(chosen: Chosen, real: Real, judges: Judges, path: Path, seed: int) -> dict[str, Any]:
    """All that is measured of one run.

    ``people``: by name the look, losses on the own and on all held-out pictures in four groups of noise levels with
    what is kept, shares of drawings that the judges give to the right class, copies. ``styles``: kernel distance and
    spread.     ``rounds``: held-out loss, bytes and seconds until the end of each.
    """
    run = read_arm(path)
    pictures, wanted, styles = drawn(chosen, real, path, seed), orders(chosen, real, seed), styles_of(chosen)
    apart = people_of(chosen).apart()
    own, everything = losses(run, "own"), losses(run, "style")
    people: dict[str, dict[str, Any]] = {}
    for name in run.clients:
        copies = run.copies.get(name)
        people[name] = {
            "style": styles.get(name, ""),
            "apart": apart.get(name, ""),
            "own": own[name],
            "everything": everything.get(name, own[name]),
            "copies": [copies.copies, copies.pictures, copies.expected] if copies else None,
        }
    looks = {}
    for look, table in real.held_out.items():
        rows, seen = wanted[look], squares(pictures[look], SIDE)
        said, features = judges.style.names(seen), judges.extractor.features(seen)
        on_subject = judges.subject.names(seen) if judges.subject is not None else None
        right = kinds(table)
        for name in dict.fromkeys(person for person, *_ in rows):
            mine = [i for i, (person, *_) in enumerate(rows) if person == name]
            people[name]["drawn"] = len(mine)
            people[name]["style_share"] = fmean(said[i] == look for i in mine)
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
    meter = run.meter
    return {
        "people": people,
        "styles": looks,
        "rounds": rounds(run),
        "up_bytes": meter.total(direction="up", purpose="train") + meter.total(direction="up", purpose="enrol"),
        "down_bytes": meter.total(direction="down", purpose="train"),
        "seconds": float(run.results["seconds"]),
        "clusters": dict(run.clusters),
        "agreement": {kind: found["ari"] for kind, found in (run.results.get("other_wishes") or {}).items()},
        "backbone": run.digest,
    }


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
        moved += event["up_bytes"] + event["down_bytes"]
        spent += event["seconds"]
        found.append({"round": number, "loss": event["loss"], "bytes": moved, "seconds": spent})
    return found[1:] if found and found[0]["round"] == 0 else found


def mean_loss(result: dict[str, Any]) -> float:
    """Mean over people of their own held-out loss."""
    return fmean(float(np.mean(person["own"])) for person in result["people"].values())
