"""The arithmetic of each kind of work, by hand, and the choice of what is the largest."""

import pytest

from coterie.bank import phases
from coterie.bank.memory import Plan, _Held
from coterie.bank.peak import Peak
from coterie.models.backbone import Beside

MB = 10**6


def test_a_pass_takes_up_more_on_a_processor_than_on_a_card():
    assert phases.passing(100 * MB, "cpu") == phases.RESERVE + phases.KERNELS + 200 * MB
    assert phases.passing(100 * MB, "cuda") == phases.RESERVE + 110 * MB


def test_training_holds_network_adapters_moments_and_a_pass():
    peak = Peak(weights=1000 * MB, adapters=30 * MB, numbers=5 * MB, passes=200 * MB)
    assert phases.training(peak, "fp32") == phases.RESERVE + int(1.1 * (1000 + 30 + 40 + 200) * MB)
    assert phases.training(peak, "8bit") < phases.training(peak, "fp32")


def test_packing_holds_the_whole_network_and_the_rest_of_the_pipeline():
    assert phases.packing(1000 * MB, 10 * MB, 200 * MB, 300 * MB) == phases.RESERVE + (1000 + 90 + 200 + 300) * MB


def test_encoding_holds_the_network_only_where_it_is_in_the_same_memory():
    assert phases.encoding(1000, 200, 300, 50) == 1550
    assert phases.encoding(0, 200, 300, 50) == 550


def test_scoring_and_drawing_hold_network_and_adapters_and_drawing_the_larger_of_two_passes():
    assert phases.scoring(1000, 40, 50) == 1090
    assert phases.drawing(1000, 40, 200, 300, 50, 70) == 1610
    assert phases.drawing(1000, 40, 200, 300, 80, 70) == 1620


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rows_are_as_many_as_fit_and_at_least_one(device):
    beside = Beside(200 * MB, 300 * MB, lambda: None, lambda: None)
    held = _Held(device, 1000 * MB, 40 * MB, beside, lambda rows: 10 * MB * rows)
    assert held.rows_for(10**12) == 64
    for rows in (64, 32, 16, 8, 4, 2):
        need = max(held.scoring(rows), held.drawing(rows))
        assert held.rows_for(need) >= rows
        assert max(held.scoring(fewer := held.rows_for(need - 1)), held.drawing(fewer)) < need or fewer == 1
    assert held.rows_for(0) == 1


def test_drawing_never_takes_fewer_rows_than_a_picture_has():
    beside = Beside(0, 0, lambda: None, lambda: None)
    held = _Held("cpu", 0, 0, beside, lambda rows: 10 * MB * rows)
    assert held.drawing(1) == held.drawing(2) < held.drawing(4) < held.drawing(16) == held.drawing(64)


def test_a_plan_names_its_largest_kind_of_work():
    plan = Plan(1, {"training": 5, "scoring": 3, "drawing": 7})
    assert (plan.peak, plan.phase) == (7, "drawing")
    assert Plan(1, {"scoring": 7, "training": 7}).phase == "training"
