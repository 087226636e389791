"""Shares removed, against the definition that the clients' evaluation uses."""

import pytest
import torch

from coterie.evals.held_out import removed
from coterie.report.crossings import other_wishes, sent_by_people, weight_of
from coterie.report.measures import Measures, agreement, at_least
from coterie.report.read import read_run
from coterie.wire.meter import Passage


def test_a_share_removed_is_the_one_that_evaluations_define(run):
    arm, control = read_run(run)
    own = Measures(arm)
    base, kept = own.base("ada", "own"), own.final("ada", "own", "personal")
    assert own.removed("ada", "own") == pytest.approx(removed(torch.tensor(base.levels), torch.tensor(kept.levels)))
    assert own.removed("ada", "own", "served") == pytest.approx(0.4)
    assert own.line([0, 1, 2, 3], ["ada", "bo"]) == pytest.approx([0.0, 0.2, 0.4, None])
    assert control is not None
    assert agreement(arm) == 1.0
    assert agreement(control) is None
    assert arm.numbers["group/silhouette"] == 0.4


def test_bytes_are_those_of_the_rows(run):
    arm, _ = read_run(run)
    enrol, train, scores, receipt = sent_by_people(arm)
    assert (train.times, train.bytes_each, train.bytes_all) == (2, 50_000, 100_000)
    assert (enrol.bytes_all, scores.bytes_all, receipt.bytes_all) == (2000, 700, 400)
    assert weight_of(arm).share == pytest.approx(50_000 / 2_000_000)


def test_more_encoded_wishes_are_named_where_they_are_and_where_they_are_not_counted(run):
    arm, control = read_run(run)
    assert control is not None
    assert other_wishes(control) is None
    assert other_wishes(arm) == "not counted"
    for client in arm.clients:
        arm.meter.num_messages[Passage(3, client, "up", "memory", "evaluate")] = 6
        arm.meter.num_bytes[Passage(3, client, "up", "memory", "evaluate")] = 9000
    assert other_wishes(arm) == "counted"


def test_the_binomial_tail():
    assert at_least(0, 5, 0.3) == pytest.approx(1)
    assert at_least(5, 5, 0.5) == pytest.approx(1 / 32)
