"""From what a run says to one page: numbers in words, tables and strips, then a template with a strict policy."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

from coterie.report.figures import HEIGHT, SHAPES, WIDTH, strip, wish_map
from coterie.report.read import Arm, read_run

REVEALS = {
    "enrol": (
        "encoded wish, once",
        "the words of the wish: encodings of sentences can be turned back into words by someone who tries",
    ),
    "train": (
        "trained adapter, every round",
        "the look of the pictures it was trained on, and perhaps single pictures; also the number of pictures",
    ),
    "evaluate": ("scores on held-out pictures", "how well an adapter fits this person"),
    "keep": ("a receipt: digest of what was kept", "whether two people keep the same adapter"),
}


def make_report(run: Path, study: Path | None = None) -> Path:
    """Writes ``server/report.html`` and returns its path.

    Args:
        run: a run folder, finished or not.
        study: results of a study to show beside it, marked as not from this run.

    Raises:
        UserError: if the folder cannot be read.
    """
    arm, control = read_run(run)
    found = study or Path(str(files("coterie.report"))) / "assets" / "study.json"
    committed = json.loads(found.read_text()) if found.is_file() else None
    html = render(context(arm, control, committed))
    path = run / "server" / "report.html"
    part = path.with_suffix(".part")
    part.write_text(html, encoding="utf-8")
    os.replace(part, path)
    return path


def render(values: Mapping[str, Any]) -> str:
    """The page for a context; scripts and styles are allowed by their digests and nothing else is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    assets = files("coterie.report") / "assets"
    style = (assets / "uPlot.min.css").read_text() + (assets / "report.css").read_text() + values["base_style"]
    script = (assets / "uPlot.iife.min.js").read_text() + "\n" + (assets / "report.js").read_text()
    environment = Environment(
        loader=PackageLoader("coterie.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "size": size}
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    data = json.dumps(values["curves"]).replace("<", "\\u003c").replace("\u2028", " ").replace("\u2029", " ")
    template = environment.get_template("report.html.j2")
    return template.render(**values, style=style, script=script, policy=policy, data=data)


def context(arm: Arm, control: Arm | None, study: Mapping[str, Any] | None) -> dict[str, Any]:
    """All that the template shows, as plain values."""
    clusters = _clusters(arm)
    return {
        "name": arm.recipe["name"],
        "finished": arm.finished,
        "facts": _facts(arm, control),
        "cards": _cards(arm, control, clusters),
        "prompts": arm.prompts,
        "clusters": [{"index": i, "name": name, "shape": SHAPES[i % 8]} for name, i in clusters.items()],
        "people": _people(arm, control, clusters),
        "base_style": _base_style(arm),
        "map": _map(arm, clusters),
        "hybrids": _hybrids(arm, clusters),
        "curves": _curves(arm, control, clusters),
        "left": _left(arm),
        "weight": _weight(arm),
        "copies": _copies(arm),
        "study": study,
        "not_run": _not_run(study),
        "wrong": _wrong(arm, control),
        "again": _again(arm),
        "control_form": control.recipe["form"]["name"] if control else None,
    }


def _clusters(arm: Arm) -> dict[str, int]:
    names = sorted(set(arm.results.get("clusters", {}).values()))
    return {name: i for i, name in enumerate(names)}


def _facts(arm: Arm, control: Arm | None) -> dict[str, Any]:
    recipe = arm.recipe
    return {
        "people": len(arm.clients),
        "form": recipe["form"]["name"],
        "keeping": recipe["form"].get("keeping", {}).get("name", "none"),
        "control": control.recipe["form"]["name"] if control else None,
        "rounds": recipe["rounds"],
        "seconds": arm.results.get("seconds", 0.0) + (control.results.get("seconds", 0.0) if control else 0.0),
        "seed": recipe["seed"],
        "backbone": recipe["backbone"]["name"],
        "dtype": recipe["engine"]["dtype"],
        "steps": recipe["form"]["fit"]["steps"],
    }


def _cards(arm: Arm, control: Arm | None, clusters: Mapping[str, int]) -> list[dict[str, str]]:
    if not arm.finished:
        return []
    mine = [x for x in (arm.removed(c, "own") for c in arm.clients) if x is not None]
    cards = [{"label": "people", "value": str(len(arm.clients)), "note": f"{arm.recipe['rounds']} rounds"}]
    if clusters:
        sizes = sorted((list(arm.results["clusters"].values()).count(name) for name in clusters), reverse=True)
        cards.append(
            {
                "label": "groups found",
                "value": str(len(clusters)),
                "note": "of " + ", ".join(map(str, sizes)) + " people",
            }
        )
    if mine:
        note = f"worst person {percent(min(mine))}"
        if control and control.finished:
            other = [x for x in (control.removed(c, "own") for c in control.clients) if x is not None]
            note += (
                f"; one adapter for all {percent(sum(other) / len(other))}, worst {percent(min(other))}"
                if other
                else ""
            )
        cards.append(
            {"label": "of the base model's error removed", "value": percent(sum(mine) / len(mine)), "note": note}
        )
    weight = _weight(arm)
    if weight:
        note = f"the whole model would be {size(weight['full_bytes'])}"
        cards.append({"label": "sent by a person each round", "value": size(weight["mean_bytes"]), "note": note})
    return cards


def _people(arm: Arm, control: Arm | None, clusters: Mapping[str, int]) -> list[dict[str, Any]]:
    base = arm.server_pictures("base")
    people = []
    for client in sorted(arm.clients, key=lambda c: (clusters.get(arm.results["clusters"].get(c, ""), 0), c)):
        rows = []
        own = arm.site_pictures(client, "own")
        final = arm.site_pictures(client, "final")
        other = control.site_pictures(client, "final") if control else []
        labelled = (
            ("own", "some of their own", own),
            ("before", "before", base),
            ("after", "with their adapter", final),
            ("control", "one adapter for all", other),
        )
        for kind, label, pictures in labelled:
            if pictures:
                rows.append({"kind": kind, "label": label, **strip(pictures)})
        people.append(
            {
                "name": client,
                "cluster": clusters.get(arm.results["clusters"].get(client, ""), 0),
                "shape": SHAPES[clusters.get(arm.results["clusters"].get(client, ""), 0) % 8],
                "truth": arm.results["clients"][client]["truth"],
                "examples": arm.results["clients"][client]["examples"],
                "rows": rows,
                "own": arm.removed(client, "own"),
                "style": arm.removed(client, "style"),
                "served": arm.removed(client, "own", "served"),
                "control": control.removed(client, "own") if control and control.finished else None,
                "copies": arm.results["copies"].get(client),
                "levels": _levels(arm, client),
            }
        )
    return people


def _base_style(arm: Arm) -> str:
    """The bare model's pictures as a background: the same row stands beside everybody, but is in the page once."""
    pictures = arm.server_pictures("base")
    if not pictures:
        return ""
    row = strip(pictures)
    return f".base-strip {{ aspect-ratio: {row['width']} / {row['height']}; background-image: url({row['url']}); }}"


def _levels(arm: Arm, client: str) -> list[float]:
    """Share of the base's loss removed at four groups of noise levels, clean to noisy, own pictures."""
    found = {}
    for score in [*arm.results["history"], *arm.results["final"]]:
        if score["client"] == client and score["test"] == "own" and score["adapter"] in ("base", arm.kept(client)):
            found[score["adapter"]] = score["levels"]
    if len(found) < 2:
        return []
    return [1 - k / b if b else 0.0 for b, k in zip(found["base"], found[arm.kept(client)], strict=True)]


def _map(arm: Arm, clusters: Mapping[str, int]) -> dict[str, Any] | None:
    wishes = arm.results.get("wishes") or {}
    if len(wishes) < 3:
        return None
    cluster_of = {c: clusters[name] for c, name in arm.results["clusters"].items()}
    numbers = arm.results.get("other_wishes", {})
    return {
        "marks": [{**vars(mark), "shape": SHAPES[mark.cluster % 8]} for mark in wish_map(wishes, cluster_of)],
        "width": WIDTH,
        "height": HEIGHT,
        "agreement": [{"kind": kind, **found} for kind, found in numbers.items()],
        "used": arm.recipe["data"]["wish"],
        "floor": arm.recipe["form"].get("grouping", {}).get("floor"),
    }


def _hybrids(arm: Arm, clusters: Mapping[str, int]) -> list[dict[str, Any]]:
    grids = []
    for one, other in combinations(clusters, 2):
        middle = [(w, arm.server_pictures(f"hybrid/{one}+{other}/{w}")) for w in (75, 50, 25)]
        if not all(pictures for _, pictures in middle):
            continue
        count = len(middle[0][1])
        ends = [(100, arm.server_pictures(one)[:count]), *middle, (0, arm.server_pictures(other)[:count])]
        rows = [{"weight": weight, **strip(pictures)} for weight, pictures in ends if pictures]
        names = [{"index": clusters[n], "shape": SHAPES[clusters[n] % 8], "look": _look(arm, n)} for n in (one, other)]
        grids.append({"one": names[0], "other": names[1], "rows": rows, "prompts": arm.prompts[:count]})
    return grids


def _look(arm: Arm, cluster: str) -> str:
    """Whom a cluster holds, for a caption."""
    return ", ".join(c for c, name in sorted(arm.results["clusters"].items()) if name == cluster)


def _curves(arm: Arm, control: Arm | None, clusters: Mapping[str, int]) -> dict[str, Any]:
    """Share of the base's loss removed after each round: a line for each cluster and one for the control."""
    if not arm.finished:
        return {"rounds": [], "lines": []}
    rounds = sorted({s["round"] for s in arm.results["history"]})
    lines = []
    groups = {name: [c for c, k in arm.results["clusters"].items() if k == name] for name in clusters} or {
        "everybody": arm.clients
    }
    for name, members in groups.items():
        label = ", ".join(sorted(members)) if clusters else name
        lines.append({"label": label, "cluster": clusters.get(name, 0), "values": _line(arm, rounds, members)})
    if control and control.finished:
        lines.append({"label": "one adapter for all", "cluster": -1, "values": _line(control, rounds, control.clients)})
    return {"rounds": rounds, "lines": lines}


def _line(arm: Arm, rounds: list[int], members: list[str]) -> list[float | None]:
    values: list[float | None] = []
    for r in rounds:
        found = [x for x in (arm.removed_at(r, c) for c in members) if x is not None]
        values.append(0.0 if r == 0 else (round(sum(found) / len(found), 4) if found else None))
    return values


def _left(arm: Arm) -> list[dict[str, Any]]:
    rows = []
    for purpose, (what, reveals) in REVEALS.items():
        sent = arm.rows(direction="up", purpose=purpose, wasted=False)
        if sent:
            people = len({row["client"] for row in sent})
            times, num_bytes = sum(row["messages"] for row in sent) / people, sum(row["bytes"] for row in sent) / people
            rows.append({"what": what, "times": times, "bytes": num_bytes, "reveals": reveals})
    return rows


def _weight(arm: Arm) -> dict[str, Any] | None:
    """Uplink of a round against sending the whole model, both in the wire's own bytes a number."""
    sent = arm.rows(direction="up", purpose="train", wasted=False)
    parameters, adapter = arm.results.get("backbone_parameters"), arm.results.get("adapter_parameters")
    messages = sum(row["messages"] for row in sent)
    if not messages or not parameters or not adapter:
        return None
    mean = sum(row["bytes"] for row in sent) / messages
    each = 4 if arm.recipe["codec"]["name"] == "raw" else 2
    full = parameters * each
    return {
        "mean_bytes": mean, "full_bytes": full, "saved": 1 - mean / full, "parameters": parameters, "adapter": adapter,
        "each": each, "targets": arm.recipe["method"].get("targets", ""), "rank": arm.recipe["method"].get("rank", ""),
    }  # fmt: skip


def _copies(arm: Arm) -> dict[str, Any] | None:
    found = [c for c in arm.results.get("copies", {}).values() if c["pictures"]]
    if not found:
        return None
    drawn = sum(c["pictures"] for c in found)
    return {
        "found": sum(c["copies"] for c in found), "drawn": drawn,
        "expected": sum(c["expected"] * c["pictures"] for c in found) / drawn,
    }  # fmt: skip


def _not_run(study: Mapping[str, Any] | None) -> list[str]:
    items = [
        "Real devices and a real network: everybody ran on one machine, and messages went through memory.",
        "More than one seed: differences of a few points between two arms may be chance.",
        "Attacks: nobody tried to rebuild pictures from adapters or words from encoded wishes here.",
        "Other models, sizes or people: the numbers hold for these pictures and this small model.",
    ]
    if study is None:
        items.append("The study of all arms over three seeds (make study-demo).")
    return items


def _wrong(arm: Arm, control: Arm | None) -> list[str]:
    items = []
    for label, run in (("", arm), ("control: ", control)):
        if run is None:
            continue
        for event in run.events:
            if event.get("event") == "client_failed":
                items.append(f"{label}{event['client']} failed in round {event['round']}: {event['reason']}")
            if event.get("event") == "resumed":
                items.append(f"{label}the run was stopped and went on after round {event['round']}")
        wasted = sum(row["bytes"] for row in run.rows(wasted=True))
        if wasted:
            items.append(f"{label}{size(wasted)} were sent in attempts that came to nothing")
        if not run.finished:
            items.append(f"{label}the run is not finished; this page shows what there is")
    return items


def _again(arm: Arm) -> dict[str, Any]:
    return {
        "command": "coterie run server/recipe.toml --out NEW_FOLDER",
        "packages": dict(arm.environment.get("packages", {})),
        "python": arm.environment.get("python", ""),
        "machine": f"{arm.environment.get('system', '')} {arm.environment.get('machine', '')}",
        "recipe": arm.results.get("recipe", ""),
        "backbone": arm.results.get("backbone_digest", ""),
        "engine": {k: v for k, v in arm.recipe["engine"].items() if k in ("dtype", "width", "tokens", "workers")},
    }


def percent(share: float | None) -> str:
    """A share in words: ``38.2 %``."""
    return "–" if share is None else f"{100 * share:.1f} %"


def size(num_bytes: float) -> str:
    """Decimal bytes in words."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
