import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.adapter import Adapter, LowRank
from coterie.core.errors import UserError
from coterie.core.factors import FACTORS, layout_of, only, with_factor


def filled(layout, seed):
    return Adapter(layout, torch.randn(layout.size, generator=torch.Generator().manual_seed(seed)))


def test_the_two_factors_are_the_whole_adapter_and_dense_parts_go_with_b(layout):
    sizes = {factor: layout_of(layout, factor).size for factor in FACTORS}
    assert sum(sizes.values()) == layout.size
    low = [part for part in layout.parts if isinstance(part, LowRank)]
    assert sizes["a"] == sum(part.rank * part.columns for part in low)
    assert [part.name for part in layout_of(layout, "b").parts] == ["down.to_q.b", "conv.b", "norm.bias"]


def test_a_factor_put_back_is_the_adapter_and_the_other_stays():
    @given(st.integers(0, 20), st.sampled_from(FACTORS))
    def check(seed, factor):
        from coterie.core.adapter import Dense, Layout

        where = Layout("x", (LowRank("q", 6, 4, 2, 0.5), Dense("bias", (3,)), LowRank("k", 2, 5, 3, 1.0)))
        one, other = filled(where, seed), filled(where, seed + 50)
        assert torch.equal(with_factor(one, factor, only(one, factor)).row, one.row)
        mixed = with_factor(one, factor, only(other, factor))
        rest = "ab".replace(factor, "")
        assert torch.equal(only(mixed, factor).row, only(other, factor).row)
        assert torch.equal(only(mixed, rest).row, only(one, rest).row)

    check()


def test_a_factor_of_another_rank_is_refused(layout):
    thin = layout.with_rank(1)
    with pytest.raises(UserError, match=r"adapters differ at down.to_q.b: wanted 12 numbers, found 6 numbers"):
        with_factor(filled(layout, 0), "b", only(filled(thin, 0), "b"))
