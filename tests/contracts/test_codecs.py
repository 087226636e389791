"""The same laws for every codec on the shelf."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.errors import UserError
from coterie.wire.codec import CODECS
from coterie.wire.codecs.cast import Cast

ALL = [CODECS.build(name) for name in CODECS.names()] + [Cast("bf16")]


def test_the_shelf_is_not_empty():
    assert len(CODECS.names()) >= 2


@pytest.mark.parametrize("codec", ALL, ids=str)
@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=40), st.floats(1e-9, 1e3))
def test_error_stays_below_what_is_declared_and_coding_twice_changes_nothing(codec, numbers, scale):
    row = torch.tensor(numbers, dtype=torch.float32) * scale
    coded = codec.encode(row)
    back = codec.decode(coded)
    assert back.shape == row.shape
    assert back.dtype == torch.float32
    assert ((back - row).abs() <= codec.error_bound(row) + 1e-38).all()
    assert torch.equal(codec.decode(codec.encode(back)), back)
    assert all(torch.equal(coded[key], codec.encode(row)[key]) for key in coded)


def test_small_fresh_factors_survive_half_precision():
    row = torch.full((8,), 3e-8)
    assert torch.allclose(Cast("fp16").decode(Cast("fp16").encode(row)), row, rtol=1e-3)
    assert not row.half().any() or row.half()[0] != row[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_sent(bad):
    with pytest.raises(UserError, match="not finite"):
        Cast().encode(torch.tensor([1.0, bad]))
