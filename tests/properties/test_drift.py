"""Drift is measured on what adapters do: neither factors nor who answers first matter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.core.adapter import build
from coterie.core.site import Facts
from coterie.core.update import Update
from coterie.core.work import Fitted
from coterie.engines.replies import ReplyMap
from coterie.federation.drift import MOVED, distance, drift, moved
from coterie.federation.products import mean_of_products

from .rounds import adapter, dense, layout


def replies(start, ends, weights):
    told = {f"c{i}": moved(start, Fitted(end, n, {})) for i, (end, n) in enumerate(zip(ends, weights, strict=True))}
    return ReplyMap({c: Update(ends[i], weights[i], numbers) for i, (c, numbers) in enumerate(told.items())}, {})


def facts(weights):
    return {f"c{i}": Facts(num_examples=n) for i, n in enumerate(weights)}


def squares(effects):
    return sum(float((effect**2).sum()) for effect in effects)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(0, 1000))
def test_disagreement_is_the_variance_of_what_clients_did(weights, seed):
    start, ends = adapter(seed), [adapter(seed + 1 + i) for i in range(len(weights))]
    wide = layout(3 * len(weights)).zeros()  # wide enough for the mean of all
    after, lost = mean_of_products(ends, [n / sum(weights) for n in weights], wide)
    assert lost < 1e-6
    found = drift(start, after, replies(start, ends, weights), facts(weights))

    steps = [[b - a for a, b in zip(dense(start), dense(end), strict=True)] for end in ends]
    shares = [n / sum(weights) for n in weights]
    mean = [sum(w * step[i] for w, step in zip(shares, steps, strict=True)) for i in range(2)]
    variance = sum(
        w * squares([s - m for s, m in zip(step, mean, strict=True)]) for w, step in zip(shares, steps, strict=True)
    )
    assert found["drift/disagreement"] == pytest.approx(variance / squares(mean), rel=1e-4, abs=2e-5)
    along = sum(w * squares(step) ** 0.5 for w, step in zip(shares, steps, strict=True))
    assert found["drift/relative"] == pytest.approx(along / squares(dense(start)) ** 0.5, rel=1e-5)


def test_clients_that_move_alike_do_not_disagree():
    start, end = adapter(0), adapter(1)
    assert drift(start, end, replies(start, [end, end], [3, 5]), facts([3, 5]))["drift/disagreement"] == pytest.approx(
        0, abs=1e-9
    )


def test_other_factors_of_the_same_update_are_no_distance():
    one, turn = adapter(2), torch.randn(3, 3, generator=torch.Generator().manual_seed(0)) + 3 * torch.eye(3)
    turned = []
    for index in range(2):
        b, a = one.factors(index)
        turned.append((b @ turn, torch.linalg.inv(turn) @ a))
    assert distance(one, build(one.layout, turned)) < 1e-4 * squares(dense(one)) ** 0.5


def test_nothing_is_divided_by_nothing_and_sealed_replies_stay_closed():
    zero, end = layout(3).zeros(), adapter(1)
    assert "drift/relative" not in drift(zero, end, replies(zero, [end], [1]), facts([1]))
    assert drift(end, end, replies(end, [end], [1]), facts([1])).keys() == {"drift/relative"}
    closed = ReplyMap({"c0": Update(end, 1, {MOVED: 1.0})}, {}, sealed=True)
    assert drift(zero, end, closed, facts([1])) == {}
