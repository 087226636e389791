"""What clients send back through a chain of codecs: the same bits after any kill, the bytes handed over."""

import pytest
from tests.contracts.kills import assert_a_kill_costs_nothing

from coterie.wire.codecs.delta import Delta
from coterie.wire.codecs.int4 import Int4
from coterie.wire.codecs.int8 import Int8
from coterie.wire.codecs.low_rank import LowerRank
from coterie.wire.codecs.top_k import TopK

SPARSE = (Delta(), TopK(0.2), Int8())
RUNS = [
    ("fedavg", {"keeping": "ditto"}, SPARSE),
    ("fedavg", {"aggregator": "rolora"}, SPARSE),
    ("fedavg", {"aggregator": "fedex"}, (Delta(), Int4(feedback=True))),
    ("fedavg", {"aggregator": "product_svd"}, (LowerRank(1), Int8())),
    ("clustered", {"grouping": "oracle"}, (Delta(), TopK(0.2, feedback=False), Int8())),
    ("ifca", {"clusters": 2}, (Delta(), Int8())),
    ("rooted", {"grouping": "oracle"}, (Delta(), Int8())),
    ("local", {}, SPARSE),
]
IDS = [f"{form}-{'-'.join(map(str, settings.values()))}" for form, settings, _ in RUNS]


@pytest.mark.parametrize(("form", "settings", "uplink"), RUNS, ids=IDS)
def test_every_form_runs_and_learns_and_repeats(world, form, settings, uplink):
    w = world(form, settings, rounds=3, uplink=uplink)
    results = w.play()
    base = {s["client"]: s["loss"] for s in results["history"] if s["adapter"] == "base"}
    kind = {"local": "personal", "clustered": "served"}.get(form)  # clients of one adapter pull to opposite sides
    assert all(s["loss"] < base[s["client"]] for s in results["final"] if s["adapter"] == kind)
    other = world.again(w)
    other.play()
    assert other.final() == w.final()


def test_a_kill_at_any_write_costs_nothing(world):
    """What error feedback left over lies in the versioned memories."""
    w = world("fedavg", {}, clients=3, rounds=3, uplink=SPARSE)
    assert assert_a_kill_costs_nothing(w) > 20
    assert all("left over by codecs" in memory for memory in w.final()["memories"].values())


def test_what_was_sent_in_vain_is_left_over_still(world):
    """A reply that came too late was never decoded: the next one begins from what the last accepted one left over."""
    late = world("fedavg", {}, clients=3, rounds=3, uplink=SPARSE, late=(("a0", 2),))
    late.play()
    absent = world.again(late, late=(), absent=(("a0", 2),))
    absent.play()
    assert late.final()["memories"]["a0"] == absent.final()["memories"]["a0"]
    assert late.final()["state"] == absent.final()["state"]


def test_halves_are_not_shown_what_codecs_left_over(world):
    w = world("fedavg", {"keeping": "ditto"}, rounds=2, uplink=SPARSE)
    w.play()
    plain = world("fedavg", {"keeping": "ditto"}, rounds=2)
    plain.play()
    names = {name for memory in w.final()["memories"].values() for name in memory}
    assert names == {*next(iter(plain.final()["memories"].values())), "left over by codecs"}


def test_fewer_bytes_go_up_and_as_many_down(world):
    sizes = {}
    for name, uplink in (("raw", ()), ("int8", (Int8(),)), ("sparse", (Delta(), TopK(0.05), Int8()))):
        rows = world("fedavg", {}, clients=2, rounds=2, uplink=uplink).play()["bytes"]
        sizes[name] = {way: sum(r[6] for r in rows if r[2] == way and r[4] == "train") for way in ("up", "down")}
    numbers = world.layout.size * 2 * 2
    assert sizes["raw"]["down"] == sizes["int8"]["down"]
    assert sizes["sparse"]["down"] <= sizes["raw"]["down"]  # what is still zero does not travel
    header = sizes["raw"]["up"] - 4 * numbers
    assert sizes["int8"]["up"] < header + numbers * 1.6 + 4 * 120
    assert sizes["sparse"]["up"] < sizes["raw"]["up"] - numbers
