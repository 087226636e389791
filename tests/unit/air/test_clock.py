"""The clock: what a round takes, side by side and one after another."""

from dataclasses import replace

import pytest

from coterie.air.clock import Air, laps
from coterie.air.links.steady import Steady
from coterie.air.machine import Machine

MEGABYTE = 10**6
AIR = Air(
    cell=Steady(up=8, down=16), device=Steady(up=4, down=4), backhaul=Steady(up=80, down=80),
    machine=Machine(gflops=1, used=1.0, watts=2.0),
)  # fmt: skip


def row(round, client, way, megabytes, link="memory", purpose="train", wasted=False):
    return [round, client, way, link, purpose, wasted, int(megabytes * MEGABYTE), 1]


def seconds_of(work):
    """Operations so that each client computes so many seconds in round 1."""
    return lambda round, client: (work.get(client, 0.0) * 1e9, 1.0)


PARALLEL = [row(1, "ada", "down", 2), row(1, "ada", "up", 1), row(1, "bo", "down", 2), row(1, "bo", "up", 3)]


def test_a_round_takes_as_long_as_its_slowest_client():
    (lap,) = laps(PARALLEL, seconds_of({"ada": 5, "bo": 1}), AIR, 0)
    assert lap.seconds == pytest.approx(1 + 5 + 1)
    assert lap.slowest == "ada"
    assert dict(lap.parts) == pytest.approx({"down": 1, "compute": 5, "up": 1, "across": 0})
    assert lap.clients["bo"].seconds == pytest.approx(1 + 1 + 3)
    assert lap.joules == pytest.approx(2.0 * 6)


def test_who_is_slower_by_a_pace_takes_longer():
    (lap,) = laps(PARALLEL, lambda r, c: (1e9, 4.0 if c == "bo" else 1.0), AIR, 0)
    assert (lap.slowest, lap.seconds) == ("bo", pytest.approx(1 + 4 + 3))


@pytest.mark.parametrize(("sharing", "wanted"), [("fdma", max(1 + 5 + 2, 1 + 1 + 6)), ("tdma", 6 + 1 + 3)])
def test_sharing_the_uplink(sharing, wanted):
    (lap,) = laps(PARALLEL, seconds_of({"ada": 5, "bo": 1}), replace(AIR, sharing=sharing), 0)
    assert lap.seconds == pytest.approx(wanted)


def test_from_device_to_device_everything_is_one_after_another():
    rows = [row(1, "ada", "down", 2), row(1, "ada", "across", 1), row(1, "bo", "across", 1), row(1, "cy", "up", 1)]
    (lap,) = laps(rows, seconds_of({"ada": 5, "bo": 1, "cy": 1}), AIR, 0)
    assert lap.seconds == pytest.approx(1 + 7 + 2 + 2 + 1)
    assert lap.slowest == ""


def test_rounds_follow_each_other_and_only_what_a_deployment_has_is_paid_for():
    rows = [
        row(0, "ada", "up", 1, purpose="enrol"), row(1, "ada", "up", 1), row(1, "ada", "up", 4, purpose="evaluate"),
        row(1, "ada", "up", 1, wasted=True), row(2, "ada", "up", 2), row(2, "edge", "up", 10, link="backhaul"),
    ]  # fmt: skip
    found = laps(rows, seconds_of({}), AIR, 0)
    assert [lap.round for lap in found] == [0, 1, 2]
    assert [lap.seconds for lap in found] == pytest.approx([1, 2, 2])
    assert found[2].clients["edge"].up == pytest.approx(1)
