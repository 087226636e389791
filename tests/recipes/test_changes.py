"""People who come, go and change their wish in whole runs: typed wrongly, with workers, and killed anywhere."""

import json

import pytest
from safetensors.torch import load_file
from tests.recipes.commands import chance, killed
from tests.recipes.few import few

from coterie.core.errors import UserError
from coterie.engines.book import Book
from coterie.runs.folder import RunFolder
from coterie.runs.reading import read_recipe
from coterie.runs.run import resume, start
from coterie.runs.show import details
from coterie.wire.envelope import unpack

SMALL = [
    "backbone.name=untrained", "rounds=4", "form.fit.steps=1", "form.fit.batch=2", "form.keeping.name=ditto",
    "form.keeping.steps=1", "form.grouping.name=wishes", "pictures.steps=1", 'pictures.prompts=["cat"]',
    "pictures.hybrids=false", "pictures.every=9", "evaluation.copies=0", "evaluation.levels=4", "evaluation.every=2",
    "engine.width=3", "engine.workers=0", "method.targets=attention", "control={}",
]  # fmt: skip


def changed(changes, *more):
    return read_recipe(None, [*SMALL, f"changes={changes}", *more])


IMPOSSIBLE = {
    '[{round=5,join="ada"}]': "changes: round 5 never comes, as the run has 4 rounds",
    '[{round=0,join="ada"}]': "changes.0.round: input should be greater than or equal to 1 (it is 0)",
    '[{round=1,jion="ada"}]': "changes.0.jion: unknown key; did you mean 'join'?",
    '[{join="ada"}]': "changes.0.round: field required (it is {'join': 'ada'})",
    '[{round=2,leave="ada"},{round=3,leave="ada"}]': "changes: ada leaves in round 3 but left in round 2 already",
    '[{round=2,join="ada"},{round=3,join="ada"}]': ("changes: ada joins in round 3 but has been there since round 2"),
    '[{round=2,join="ada",leave="ada"}]': "changes: ada is named twice in round 2; wanted join or leave, once",
    '[{round=3,join="ada"},{round=2,wish={ada="purpose"}}]': ("changes: ada is not there in round 2 to change a wish"),
    '[{round=3,wish={ada="purpose"}},{round=3,wish={ada="named"}}]': (
        "changes: ada has two wishes in round 3; wanted one"
    ),
    '[{round=3,wish={ada="porpoise"}}]': (
        "changes.0.wish.ada: input should be 'named', 'paraphrased' or 'purpose' (it is 'porpoise')"
    ),
}
REFUSED = {
    ('[{round=3,wish={ada="purpose"}}]', "data.prompt=wish"): (
        "changes: no wish can change where data.prompt = 'wish' puts it before every caption"
    ),
    ('[{round=3,leave="ada"}]', "form.grouping={name='random',sizes=[6,6]}"): (
        "changes: nobody can join or leave where form.grouping.sizes says how many there are; take another grouping"
    ),
}
ALL = {**IMPOSSIBLE, **REFUSED}


@pytest.mark.parametrize("changes", [*IMPOSSIBLE, *REFUSED])
def test_what_cannot_happen_is_one_line(changes):
    with pytest.raises(UserError) as caught:
        changed(*((changes,) if isinstance(changes, str) else changes))
    assert str(caught.value) == f"--set: {ALL[changes]}"


@pytest.mark.parametrize(
    ("changes", "more", "wanted"),
    [
        ('[{round=3,join="aad"}]', (), "changes: round 3: no client is called 'aad'; did you mean 'ada'?"),
        (
            '[{round=3,wish={client-1="purpose"}}]',
            ("data.partition=iid",),
            "changes: round 3: client-1 has no wish of the kind 'purpose'; it has none",
        ),
        (
            '[{round=3,leave=["client-1","client-2"]}]',
            ("data.partition=iid", "data.num_clients=2"),
            "changes: nobody is there in round 3; somebody must be",
        ),
    ],
)
def test_what_these_people_cannot_do_is_one_line_before_anything_runs(tmp_path, changes, more, wanted):
    with pytest.raises(UserError) as caught:
        start(changed(changes, *more), tmp_path / "run")
    assert str(caught.value) == wanted
    assert not (tmp_path / "run").exists()


def test_a_control_without_these_people_is_refused_before_anything_runs(tmp_path):
    sets = [s for s in SMALL if s != "control={}"]
    recipe = read_recipe(None, [*sets, 'changes=[{round=2,leave="ada"}]', "control.data.pool=all"])
    with pytest.raises(UserError, match="no client is called 'ada'; there are: everyone"):
        start(recipe, tmp_path / "run")


CHANGES = (
    '[{round=2,join=["ada","bo"]},{round=3,leave="cleo",wish={dov="purpose"}},'
    '{round=4,join="cleo",leave=["ada","edda"]}]'
)


def ends(path):
    """All that must be the same after a kill: adapters, memories, what the form and the engine know."""
    files = {f.relative_to(path): f for f in sorted(path.glob("**/adapters/**/*.safetensors"))}
    newest = sorted((path / "server" / "checkpoints").iterdir())[-1]
    _, tree = unpack(newest.read_bytes())
    state, book = tree["state"], Book.from_plain(tree["book"])
    memories = {}
    for client, version in book.accepted.items():
        number, attempt = map(int, version.split("."))
        name = f"round-{number:04d}-attempt-{attempt:03d}.safetensors"
        memories[client] = (
            number,
            unpack((path / "sites" / client / "memory" / name).read_bytes())[1]["personal"].digest,
        )
    return {
        "files": {str(name): {k: v.tolist() for k, v in load_file(file).items()} for name, file in files.items()},
        "memories": memories,
        "clusters": {name: adapter.digest for name, adapter in {**state["clusters"], **state["past"]}.items()},
        "wishes": {client: wish.tolist() for client, wish in state["wishes"].items()},
        "rest": [state[key] for key in ("labels", "used", "played", "regrouped")],
        "scores": [(s["round"], s["client"], s["test"], s["adapter"], s["loss"].tolist()) for s in book.scores],
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("changes") / "whole"
    return path, start(changed(CHANGES, few(wishes=True)), path)


def test_show_has_who_came_and_who_left(whole):
    path, results = whole
    people = {row["person"]: row for row in details(path)["people"]}
    assert {c: (row["joined"], row["left"]) for c, row in people.items() if row["joined"] or row["left"]} == {
        "ada": (2, 4), "bo": (2, None), "cleo": (4, None), "edda": (None, 4),
    }  # fmt: skip
    assert people["bo"]["own/served"] is not None
    assert people["ada"]["own/served"] is people["edda"]["own/served"] is None
    assert people["edda"]["cluster"] is None
    for client in ("ada", "edda"):  # what they kept when they left is theirs
        assert (path / "sites" / client / "adapters" / "personal" / "adapter_model.safetensors").is_file()
    assert [s["round"] for s in results["history"] if (s["client"], s["test"]) == ("ada", "own")] == [2, 2]
    wish = {s["client"]: s for s in results["history"]}
    assert wish["cleo"]["round"] == 4
    done = [json.loads(line) for line in (path / "server" / "journal.jsonl").read_text().splitlines()]
    assert {e["round"]: e["scored"] for e in done if "scored" in e} == {
        2: {"people": 12, "new": 2, "gone": 0}, 4: {"people": 10, "new": 0, "gone": 2},
    }  # fmt: skip


def test_workers_give_the_same_bits_of_a_run_with_changes(whole, tmp_path):
    path, results = whole
    other = start(changed(CHANGES, few(wishes=True), "engine.workers=2"), tmp_path / "workers")
    assert ends(tmp_path / "workers") == ends(path)
    same = {key: value for key, value in other.items() if key != "seconds"}
    assert same == {key: results[key] for key in same}


@pytest.mark.parametrize("workers", [0, 2])
def test_kill_nine_of_a_run_with_changes_costs_nothing(whole, tmp_path, workers):
    """Killed wherever it happens to be, once in each round and while finishing; with workers in every second round."""
    path, results = whole
    broken, later = tmp_path / "broken", chance(workers, 0.3)
    sets = [*SMALL, few(wishes=True), f"changes={CHANGES}", f"engine.workers={workers}"]
    command = ["run", "--json", "--out", str(broken), *(a for s in sets for a in ("--set", s))]
    marks = [f'"round_started", "arm": "run", "round": {k}' for k in range(0, 5, 2 if workers else 1)] + ['"finishing"']
    kills = 0
    for mark in marks:
        kills += killed(command, lambda line, mark=mark: mark in line, later())
        if RunFolder(broken).exists:
            command = ["run", "--json", "--resume", str(broken)]
    again = resume(broken)
    assert kills >= len(marks) - 2
    assert ends(broken) == ends(path)
    same = {key: value for key, value in again.items() if key not in ("seconds", "bytes")}
    assert same == {key: results[key] for key in same}
