"""People who join, leave, come back or have another wish in mid-run, with everything real but the model."""

import pytest
from tests.contracts.kills import assert_a_kill_costs_nothing

from coterie.engines.courier import ClientFailed
from coterie.runs.attendance import Change
from coterie.wire.envelope import unpack

NEAR_A, NEAR_B = "\x7f\x02\x03", "\x02\x7f\x04"  # wishes whose encodings, their code points, are nearly orthogonal
WISHES = {
    "a0": "\x7f\x01\x05",
    "a2": NEAR_A,
    "a4": "\x7f\x04\x01",
    "b1": "\x01\x7f\x05",
    "b3": NEAR_B,
    "b5": "\x03\x7f\x01",
}
CHANGES = (
    Change(2, join=("a4",)),
    Change(3, leave=("b1",), wish={"a2": "purpose"}),
    Change(4, join=("b1",), leave=("a0",)),
)
FORMS = [
    ("fedavg", {"keeping": "finetune"}),
    ("local", {}),
    ("clustered", {"grouping": "wishes"}),
    ("clustered", {"grouping": "weights", "keeping": "none"}),
    ("clustered", {"grouping": "oracle", "regroup_every": 2}),
    ("clustered", {"grouping": "single", "keeping": "finetune"}),
    ("split", {"fit": {"steps": 2}}),
    ("ifca", {"clusters": 2, "keeping": "ditto"}),
]
IDS = ["-".join([form, *map(str, s.values())])[:40] for form, s in FORMS]


def lively(world, form, settings, **more):
    more = {"changes": CHANGES, "rounds": 4, **more}
    return world(form, settings, clients=6, wishes=WISHES, later={"a2": NEAR_B, "a0": NEAR_A}, **more)


def rounds_of(w):
    return {more["round"]: more for event, more in w.events if event == "round_done"}


@pytest.mark.parametrize(("form", "settings"), FORMS, ids=IDS)
def test_everybody_is_served_and_scored_exactly_while_there(world, form, settings):
    w = lively(world, form, settings)
    results = w.play()
    assert not results["failures"]
    there = {1: "a0 a2 b1 b3 b5", 2: "a0 a2 a4 b1 b3 b5", 3: "a0 a2 a4 b3 b5", 4: "a2 a4 b1 b3 b5"}
    served = {
        r: {s["client"] for s in results["history"] if (s["round"], s["adapter"]) == (r, "served")} for r in there
    }
    assert served == {r: set(names.split()) for r, names in there.items()}
    trained = {(row[0], row[1]) for row in results["bytes"] if (row[2], row[4]) == ("up", "train")}
    assert trained == {(r, c) for r in there for c in there[r].split()}
    base = [(s["client"], s["round"]) for s in results["history"] if s["adapter"] == "base"]
    assert sorted(base) == [("a0", 0), ("a2", 0), ("a4", 2), ("b1", 0), ("b3", 0), ("b5", 0)]
    assert {s["client"] for s in results["final"]} == set(there[4].split()) == set(results["personal"])
    dates = {c: {k: v for k, v in known.items() if k in ("joined", "left")} for c, known in results["clients"].items()}
    assert dates == {"a0": {"left": 4}, "a2": {}, "a4": {"joined": 2}, "b1": {"joined": 4}, "b3": {}, "b5": {}}
    told = {r: (more.get("joined"), more.get("left"), more.get("rewished")) for r, more in rounds_of(w).items()}
    assert told[1] == (None, None, None)
    assert told[2] == (("a4",), (), ())
    assert told[3] == ((), ("b1",), ("a2",))
    assert told[4] == (("b1",), ("a0",), ())


@pytest.mark.parametrize(("form", "settings"), FORMS, ids=IDS)
def test_who_leaves_keeps_what_there_was_and_nothing_is_done_with_it_afterwards(world, form, settings):
    w = lively(world, form, settings)
    w.play()
    left = world.again(w, rounds=3, changes=(*CHANGES[:2],))
    left.play()
    kept = "sites/a0/adapters/served/adapter_model.safetensors"
    assert w.final()["files"][kept] == left.final()["files"][kept]  # left before round 4: what round 3 served
    assert w.final()["memories"].get("a0") == left.final()["memories"].get("a0")


def test_enrolment_is_metered_whenever_it_happens(world):
    w = lively(world, "clustered", {"grouping": "wishes"})
    rows = [(row[0], row[1]) for row in w.play()["bytes"] if (row[2], row[4]) == ("up", "enrol")]
    assert rows == [*((0, c) for c in ("a0", "a2", "b1", "b3", "b5")), (2, "a4"), (3, "a2"), (4, "b1")]


def test_a_newcomer_is_served_its_clusters_adapter_at_once_and_a_new_wish_moves(world):
    w = lively(world, "clustered", {"grouping": "wishes"})
    w.play()
    clusters = {r: more["clusters"] for r, more in rounds_of(w).items()}
    assert clusters[1] == clusters[0]
    assert clusters[2]["a4"] == clusters[2]["a0"] == clusters[0]["a0"]
    assert clusters[3]["a2"] == clusters[3]["b3"] == clusters[0]["b3"] != clusters[0]["a2"]
    assert "b1" not in clusters[3]
    assert clusters[4]["b1"] == clusters[0]["b1"]
    numbers = {r: more["numbers"] for r, more in rounds_of(w).items()}
    assert "life/ari" not in numbers[1]
    assert (numbers[2]["life/moved"], numbers[2]["life/ari"]) == (0, 1)
    assert numbers[3]["life/moved"] == 1
    assert numbers[3]["life/ari"] < 1
    first = world.again(w, rounds=1)
    first.play()
    before = first.final()["state"]["clusters"][clusters[2]["a4"]]
    sent = world.again(w, rounds=2, absent=tuple((c, 2) for c in ("a0", "a2", "a4")), changes=CHANGES[:1])
    sent.play()  # in round 2 nobody of the cluster trains: the newcomer is served what round 1 made
    assert (
        sent.final()["files"]["sites/a4/adapters/served/adapter_model.safetensors"]
        == (sent.final()["files"]["sites/a0/adapters/served/adapter_model.safetensors"])
    )
    assert sent.final()["state"]["clusters"][clusters[2]["a4"]] == before


def test_a_wish_that_hardly_moves_changes_nothing(world):
    changes = (Change(2, wish={"a0": "purpose"}),)
    w = lively(world, "clustered", {"grouping": "wishes"}, changes=changes, rounds=2)
    w.play()
    quiet = world.again(w, changes=())
    quiet.play()
    mine, theirs = w.final()["state"], quiet.final()["state"]
    assert mine["wishes"] != theirs["wishes"]
    assert {k: v for k, v in mine.items() if k != "wishes"} == {k: v for k, v in theirs.items() if k != "wishes"}


def test_a_deserted_cluster_stays_published_and_its_name_is_never_given_again(world):
    changes = (Change(2, leave=("b1", "b3", "b5")), Change(3, join=("b1", "b3")))
    w = lively(world, "clustered", {"grouping": "oracle"}, changes=changes, rounds=3)
    w.play()
    clusters = {r: more["clusters"] for r, more in rounds_of(w).items()}
    assert set(clusters[2].values()) == {"cluster-0"}
    assert set(clusters[3].values()) == {"cluster-0", "cluster-2"}
    assert (w.path / "server/adapters/cluster-1/adapter_model.safetensors").is_file()
    one = world.again(w, rounds=1, changes=())
    one.play()
    state = w.final()["state"]
    assert state["past"]["cluster-1"] == one.final()["state"]["clusters"]["cluster-1"]
    assert rounds_of(w)[2]["numbers"]["life/died"] == rounds_of(w)[3]["numbers"]["life/born"] == 1


def test_newcomers_who_wait_in_a_cluster_do_not_take_its_name_with_them(world):
    """Three of another kind come to two: their first answers part them, and they are called something else.

    Nor does it change when the run is gone on with after every round: what is remembered is in the checkpoint.
    """
    changes = (Change(2, join=("b1", "b3", "b5")), Change(3, leave=("a0", "a2")), Change(4, join=("a2", "a4")))
    w = world("clustered", {"grouping": "weights", "keeping": "none"}, clients=6, changes=changes, rounds=4)
    w.play()
    clusters = {r: more["clusters"] for r, more in rounds_of(w).items()}
    assert clusters[1] == {"a0": "cluster-0", "a2": "cluster-0"}
    assert clusters[2] == {**clusters[1], **dict.fromkeys(("b1", "b3", "b5"), "cluster-1")}
    assert clusters[4] == {**clusters[3], **dict.fromkeys(("a2", "a4"), "cluster-2")}
    again = world.again(w, rounds=0)
    for again.rounds in range(5):
        again.play()
    assert {r: more["clusters"] for r, more in rounds_of(again).items()} == clusters
    assert again.final() == w.final()


def test_who_cannot_be_reached_when_joining_or_leaving_stops_nobody(world, monkeypatch):
    """The one has nothing to keep; the other, of whom no wish is known, is taken in by the largest cluster."""
    w = lively(world, "clustered", {"grouping": "wishes"})
    courier = type(w.loop().terms.courier)
    visit = courier.visit

    async def gone(self, client, request):
        header, _ = unpack(request, (world.layout,))
        if (header.purpose, client, header.round) in {("keep", "a0", 4), ("enrol", "a4", 2)}:
            raise ClientFailed("out of reach")
        return await visit(self, client, request)

    monkeypatch.setattr(courier, "visit", gone)
    w.play()
    failed = [(more["client"], more["round"]) for event, more in w.events if event == "client_failed"]
    assert failed == [("a4", 2), ("a0", 4)]
    assert not (w.path / "sites/a0/adapters").exists()
    clusters = {r: more["clusters"] for r, more in rounds_of(w).items()}
    assert clusters[2]["a4"] == clusters[1]["b1"]
    assert w.final()["round"] == 4


@pytest.mark.parametrize(("form", "settings"), [*FORMS[:4], FORMS[-1]], ids=[*IDS[:4], IDS[-1]])
def test_a_kill_at_any_write_of_a_run_with_changes_costs_nothing(world, form, settings):
    """Die before and after each write in turn: state, memories, adapters and results are the same to the bit."""
    w = lively(world, form, settings)
    assert assert_a_kill_costs_nothing(w, lambda w, results: (without_bytes(results), w.final())) > 100


def without_bytes(results):
    """Results without what a kill wastes."""
    return {key: repr(value) for key, value in results.items() if key != "bytes"}
