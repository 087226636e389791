"""A small run folder, written by hand: numbers and random pictures, a fixture and never a result."""

import json

import numpy as np
import pytest
import tomli_w
from PIL import Image

PROMPTS = ["cat", "owl", "castle"]
PEOPLE = {"ada": "neon", "bo": "pixel", "cleo": "neon", "dov": "pixel"}

SETTINGS = {
    "clustered": {"grouping": {"name": "wishes", "floor": 0.1}, "keeping": {"name": "ditto"}},
    "hierarchical": {"grouping": {"name": "given", "groups": {"north": ["ada", "cleo"], "south": ["bo", "dov"]}}},
    "split": {}, "split_steps": {}, "sequential": {}, "local": {},
}  # fmt: skip


def recipe(form="clustered"):
    return {
        "name": "fixture", "seed": 7, "rounds": 2,
        "form": {"name": form, **SETTINGS.get(form, {"keeping": {"name": "ditto"}}), "fit": {"steps": 5}},
        "data": {"wish": "named", "source": {"name": "studio"}}, "backbone": {"name": "doodle"},
        "codec": {"name": "cast"}, "engine": {"dtype": "fp32", "width": 2, "workers": 0},
        "pictures": {"prompts": PROMPTS},
    }  # fmt: skip


def results(form, people, clusters):
    def score(round, client, test, adapter, loss):
        where = {"round": round, "client": client, "test": test, "adapter": adapter}
        return {**where, "loss": loss, "levels": [loss * k for k in (1.3, 0.9, 0.8, 1.0)], "count": 4}

    rng = np.random.default_rng(0)
    centre = {label: rng.normal(size=16) for label in sorted(set(clusters.values()))}
    wishes = {c: centre[k] + 0.2 * rng.normal(size=16) for c, k in clusters.items()} if form == "clustered" else {}
    history = [score(0, c, test, "base", 0.5) for c in people for test in ("own", "style")]
    history += [score(r, c, "own", "served", 0.5 - 0.1 * r) for c in people for r in (1, 2)]
    losses = {"served": 0.3, "personal": 0.25}
    final = [score(2, c, test, a, losses[a]) for c in people for test in ("own", "style") for a in losses]
    rows = []
    for c in people:
        rows += [[0, c, "up", "memory", "enrol", False, 2000, 1], [0, c, "up", "memory", "evaluate", False, 700, 1]]
        rows += [[r, c, "up", "memory", "train", False, 50_000, 1] for r in (1, 2)]
        rows += [[3, c, "up", "memory", "keep", False, 400, 1], [1, c, "down", "memory", "train", False, 50_000, 1]]
    if form == "hierarchical":
        rows += [[1, edge, "up", "backhaul", "train", False, 50_000, 1] for edge in centre]
    return {
        "clients": {c: {"examples": 12, "truth": truth} for c, truth in people.items()}, "clusters": clusters,
        "numbers": {}, "wishes": {c: (w / np.linalg.norm(w)).tolist() for c, w in wishes.items()},
        "history": history, "final": final, "bytes": rows, "failures": {}, "seconds": 75.0, "form": form, "seed": 7,
        "rounds": 2, "recipe": {}, "backbone_parameters": 1_000_000, "backbone_digest": "feedfacecafe",
        "copies": {c: {"pictures": 8, "copies": 1, "expected": 1 / 9} for c in people},
        "other_wishes": {"named": {"ari": 1.0, "clusters": 2, "silhouette": 0.3}} if wishes else {},
    }  # fmt: skip


def draw(folder, count, seed):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels = np.kron(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")


def written(path, form="clustered", people=PEOPLE, finished=True):
    labels = {truth: f"cluster-{i}" for i, truth in enumerate(sorted(set(people.values())))}
    if form == "hierarchical":
        labels = {"neon": "edge-north", "pixel": "edge-south"}
    clusters = {c: labels[t] for c, t in people.items()} if form in ("clustered", "hierarchical") else {}
    server = path / "server"
    server.mkdir(parents=True)
    (server / "recipe.toml").write_text(tomli_w.dumps(recipe(form)))
    (server / "environment.json").write_text(json.dumps({"python": "3.11", "packages": {"torch": "2"}}))
    numbers = {"group/silhouette": 0.4, "group/floor": 0.1} if clusters else {}
    events = [{"event": "started"}, {"event": "round_done", "round": 0, "numbers": numbers, "clusters": clusters}]
    events += [{"event": "round_done", "round": 1, "numbers": {}, "clusters": clusters}]
    (server / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events) + '{"event": "cut')
    names = sorted(set(clusters.values())) if form == "clustered" else ["global"]
    for i, name in enumerate(names):
        draw(server / "pictures" / "rounds" / "001" / name, 2, 50 + i)
    for i, client in enumerate(people):
        (path / "sites" / str(i) if "/" in client else path / "sites" / client).mkdir(parents=True)
    if not finished:
        return path
    (server / "results.json").write_text(json.dumps(results(form, people, clusters)))
    draw(server / "pictures" / "base", 3, 1)
    for i, name in enumerate(names):
        draw(server / "pictures" / name, 3, 10 + i)
    for weight in (75, 50, 25) if len(names) > 1 else ():
        draw(server / "pictures" / "hybrid" / "+".join(names[:2]) / str(weight), 3, weight)
    for i, client in enumerate(people):
        if "/" not in client:
            draw(path / "sites" / client / "pictures" / "final", 3, 20 + i)
            draw(path / "sites" / client / "pictures" / "own", 4, 30 + i)
    return path


@pytest.fixture
def write_run():
    return written


@pytest.fixture
def run(tmp_path):
    path = written(tmp_path / "run")
    written(path / "control", "fedavg")
    return path
