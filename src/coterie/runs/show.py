"""What ``coterie list`` and ``coterie show`` say about run folders, as plain values.

The recipe of a run folder was written resolved, so its plain values are read and no settings are built from them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.federation.stable import loners
from coterie.runs.folder import RunFolder, open_run
from coterie.wire.handed import handed_over
from coterie.wire.meter import BACKHAUL, Meter

_COLUMNS = ("run", "form", "backbone", "rounds", "seed", "state")


def summaries(root: Path) -> list[dict[str, Any]]:
    """One row for every run directly below a folder, by name.

    Raises:
        UserError: if the folder is not there.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; runs are made with: coterie run")
    rows = []
    for folder in (RunFolder(path) for path in sorted(root.iterdir())):
        if folder.exists:
            try:
                rows.append(_summary(folder))
            except UserError as error:
                rows.append({**dict.fromkeys(_COLUMNS), "run": str(folder.path), "state": str(error)})
    return rows


def details(path: Path) -> dict[str, Any]:
    """Facts of one run, and a row for every person."""
    folder = open_run(path)
    results = folder.read_json("results.json")
    facts = _summary(folder)
    if results is None:
        return {"facts": facts, "people": []}
    shared = facts["form"] != "local"  # there no adapter is sent, and what is served is the bare backbone
    meter = Meter.from_plain(results["bytes"])
    handed = handed_over(meter) if shared else None
    groups = "edges" if any(p.link == BACKHAUL for p in meter.num_bytes) else "clusters"
    facts |= {
        groups: len(set(results["clusters"].values())) or None,
        "alone_at_an_edge" if groups == "edges" else "alone_in_a_cluster": loners(results["clusters"]),
        **({"sent_bytes_per_person_and_round": round(handed.num_bytes), "sent_to": handed.to} if handed else {}),
        "seconds": results["seconds"],
        "failures": sorted(results["failures"]),
    }
    people = []
    for client, known in results["clients"].items():
        row: dict[str, Any] = {
            "person": client,
            "examples": known["examples"],
            groups.removesuffix("s"): results["clusters"].get(client),
            # what was brought later has no numbers: those in the row are of what was trained
            "keeps": "imported" if (folder.site(client) / "adapters" / "imported").is_dir() else None,
        }
        if any(known.keys() & {"joined", "left"} for known in results["clients"].values()):
            row |= {"joined": known.get("joined"), "left": known.get("left")}
        for test in ("own", "style"):
            base = _loss(results["history"], client, test, "base")
            for adapter in ("served", "personal") if shared else ("personal",):
                loss = _loss(results["final"], client, test, adapter)
                row[f"{test}/{adapter}"] = None if base is None or loss is None else 1 - loss / base
        copies = results["copies"].get(client)  # nobody looks for copies by who has left
        row["copies"] = f"{copies['copies']} of {copies['pictures']}" if copies and copies["pictures"] else None
        people.append(row)
    return {"facts": facts, "people": people}


def _summary(folder: RunFolder) -> dict[str, Any]:
    recipe = _recipe_of(folder)
    rounds = [event["round"] for event in folder.events() if event["event"] == "round_done"]
    return {
        "run": str(folder.path),
        **{key: recipe[key] for key in ("form", "backbone")},
        "rounds": f"{max([0, *rounds])}/{recipe['rounds']}",
        "seed": recipe["seed"],
        "state": _state(folder),
    }


def _state(folder: RunFolder) -> str:
    if folder.running:
        return "running"
    if (folder.server / "results.json").is_file():
        return "finished"
    return f"stopped: coterie run --resume {folder.path}"


def _recipe_of(folder: RunFolder) -> dict[str, Any]:
    """The names and numbers of a run's recipe that are shown."""
    path = folder.server / "recipe.toml"
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        names = {key: str(plain[key]["name"]) for key in ("form", "backbone")}
        return names | {key: int(plain[key]) for key in ("rounds", "seed")}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the recipe cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a resolved recipe: {type(error).__name__}: {error}") from error


def _loss(scores: list[dict[str, Any]], client: str, test: str, adapter: str) -> float | None:
    wanted = (client, test, adapter)
    found = [s["loss"] for s in scores if (s["client"], s["test"], s["adapter"]) == wanted]
    return found[-1] if found else None
