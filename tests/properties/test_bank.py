"""Laws of the bank in any company: whoever else is there, in whatever order, with whatever trouble."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, NotFinite, fit
from coterie.core.adapter import Adapter
from coterie.core.work import Fit
from coterie.models.shelves import BACKBONES

WIDTH, BATCH = 3, 2


@functools.cache
def model():
    return BACKBONES.build({"name": "untrained", "seed": 3}).load(torch.float32, 8)


@functools.cache
def pictures(k):
    rng = np.random.default_rng(k)
    side = model().side
    return model().prepare(rng.integers(0, 255, (1 + k, side, side, 3), dtype=np.uint8), ["thing"] * (1 + k))


@functools.cache
def job(k):
    layout = model().layout(4, 4, "attention")
    fitting = Fit(steps=1 + k % 2, batch=BATCH, rate=1e-2 * (1 + k), warmup=k, clip=[0.0, 1.0, 1e-3][k % 3])
    return FitJob(f"c{k}", layout.with_rank(2 + k % 3).start(5), fitting, pictures(k), 100 + k)


def run(jobs):
    bank = Bank(model(), model().layout(4, 4, "attention"), WIDTH)
    try:
        return fit(bank, jobs)
    finally:
        bank.close()


@functools.cache
def alone(k):
    return run([job(k)])[0].adapter.row


@settings(max_examples=12)
@given(order=st.permutations(range(4)), count=st.integers(1, 4), broken=st.sets(st.integers(0, 3), max_size=2))
def test_a_client_trains_to_the_same_bits_in_any_company(order, count, broken):
    jobs = []
    for k in order[:count]:
        mine = job(k)
        if k in broken:
            row = torch.full_like(mine.start.row, float("nan"))
            mine = replace(mine, start=Adapter(mine.start.layout, row))
        jobs.append(mine)
    for k, got in zip(order[:count], run(jobs), strict=True):
        if k in broken:
            assert isinstance(got, NotFinite)
        else:
            assert torch.equal(got.adapter.row, alone(k))


@given(rank=st.integers(1, 4), more=st.integers(0, 3), seed=st.integers(0, 9))
def test_what_is_loaded_is_read_back_to_the_bit(rank, more, seed):
    small = model().layout(4, 4, "attention").with_rank(rank)
    row = torch.randn(small.size, generator=torch.Generator().manual_seed(seed))
    bank = Bank(model(), small.with_rank(rank + more), 2)
    try:
        bank.load(1, Adapter(small, row))
        assert torch.equal(bank.read(1, small).row, row)
        assert not bank.master[0].any()
        assert bank.master[1].count_nonzero() == row.count_nonzero()
    finally:
        bank.close()


@pytest.fixture(autouse=True)
def nothing_stays_wrapped():
    before = dict(model().network.named_modules())
    yield
    assert dict(model().network.named_modules()) == before
