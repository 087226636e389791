"""Unequal clients on a random network: real training at two ranks, with absences, in one process and in workers."""

import json

import pytest
from safetensors.torch import load_file

from coterie.models.peft_files import read_peft
from coterie.runs.reading import read_recipe
from coterie.runs.run import start

UNEQUAL = [
    "backbone.name=untrained", "rounds=3", "form.name=ifca", "form.clusters=2", "form.levels=2",
    "form.aggregator=rank_bands", "form.keeping.name=ditto", "form.keeping.steps=1", "form.fit.steps=4",
    "form.fit.batch=2", "pictures.steps=1", 'pictures.prompts=["cat"]', "evaluation.copies=0", "engine.width=3",
    "data.partition=iid", "data.num_clients=6", "method.targets=attention", "evaluation.levels=4", "control={}",
    "devices.ranks=[2, 8]", "devices.spread=0.8", "devices.deadline=1.0", "devices.absence=0.3", "cohort.quorum=0.2",
]  # fmt: skip


def files(path):
    found = {str(f.relative_to(path)): load_file(f) for f in sorted(path.glob("**/adapters/**/*.safetensors"))}
    return {name: {key: value.tolist() for key, value in tensors.items()} for name, tensors in found.items()}


def events(path):
    return [json.loads(line) for line in (path / "server" / "journal.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("unequal") / "run"
    return path, start(read_recipe(None, [*UNEQUAL, "engine.workers=0"]), path)


def test_everybody_keeps_an_adapter_of_its_own_rank(finished):
    path, results = finished
    for index, client in enumerate(sorted(results["clients"])):
        for kind in ("served", "personal"):
            layout = read_peft(path / "sites" / client / "adapters" / kind).layout
            assert {part.rank for part in layout.parts} == {(2, 8)[index % 2]}


def test_who_was_away_is_in_the_journal_and_sizes_of_clusters_are(finished):
    path, _ = finished
    failed = [event for event in events(path) if event["event"] == "client_failed"]
    assert {event["kind"] for event in failed} == {"away"}
    done = [event for event in events(path) if event["event"] == "round_done" and event["round"]]
    assert sum(event["failed"].get("away", 0) for event in done) == len(failed)
    sizes = [value for key, value in done[-1]["numbers"].items() if key.startswith("group/size/")]
    assert len(sizes) == 2
    assert sum(sizes) == len(done[-1]["clusters"])


def test_workers_give_the_same_bits_and_meet_the_same_absences(finished, tmp_path):
    path, results = finished
    other = tmp_path / "workers"
    again = start(read_recipe(None, [*UNEQUAL, "engine.workers=2"]), other)
    assert files(other) == files(path)
    assert again["bytes"] == results["bytes"]
    kinds = [
        [(e["round"], e["client"], e["kind"], e["reason"]) for e in events(p) if e["event"] == "client_failed"]
        for p in (path, other)
    ]
    assert kinds[0] == kinds[1]
