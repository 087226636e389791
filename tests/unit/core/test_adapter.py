import pytest
import torch

from coterie.core.adapter import Adapter, Layout, LowRank, build, require_same_layout, weighted_sum
from coterie.core.errors import UserError


def test_factors_are_views_of_the_row_and_build_is_their_inverse(layout):
    adapter = Adapter(layout, torch.randn(layout.size))
    pieces = [adapter.factors(0), adapter.factors(1), adapter.dense(2)]
    assert [tuple(b.shape) for b, _ in pieces[:2]] == [(6, 2), (5, 2)]
    assert [tuple(a.shape) for _, a in pieces[:2]] == [(2, 4), (2, 27)]
    assert torch.equal(build(layout, pieces).row, adapter.row)
    assert layout.size == 2 * (6 + 4) + 2 * (5 + 27) + 3


def test_start_changes_nothing_but_can_learn(layout):
    start = layout.start(seed=3)
    for index in (0, 1):
        b, a = start.factors(index)
        assert not b.any()
        assert a.abs().min() > 0
    assert not start.dense(2).any()
    assert torch.equal(start.row, layout.start(3).row)
    assert not torch.equal(start.row, layout.start(4).row)


def test_layout_survives_plain_values_and_its_digest_names_it(layout):
    again = Layout.from_plain(layout.as_plain())
    assert again == layout
    assert again.digest == layout.digest
    assert layout.with_rank(3).digest != layout.digest
    assert layout.with_rank(3).parts[0].rank == 3


@pytest.mark.parametrize(
    "plain", [{}, {"backbone": "x", "parts": [{"kind": "Nonsense"}]}, {"backbone": "x", "parts": 3}]
)
def test_a_layout_that_cannot_be_read_is_the_users_to_fix(plain):
    with pytest.raises(UserError, match="layout"):
        Layout.from_plain(plain)


def test_weighted_sum_adds_rows_in_double_precision(layout):
    one, other = Adapter(layout, torch.full((layout.size,), 1e8)), Adapter(layout, torch.full((layout.size,), 1.0))
    total = weighted_sum([one, other, one], [1.0, 1.0, -1.0])
    assert torch.equal(total.row, other.row)


def test_adapters_of_different_kinds_are_refused_with_the_reason(layout):
    with pytest.raises(UserError, match="another backbone: its digest is zzz, wanted abc123"):
        require_same_layout(layout, Layout("zzz", layout.parts))
    with pytest.raises(UserError, match=r"differ at down.to_q"):
        require_same_layout(layout, layout.with_rank(3))
    with pytest.raises(UserError, match="3 parts against 2"):
        require_same_layout(layout, Layout("abc123", layout.parts[:2]))
    with pytest.raises(UserError, match="numbers"):
        Adapter(layout, torch.zeros(3))


def test_digest_depends_on_numbers_and_layout(layout):
    one = Adapter(layout, torch.zeros(layout.size))
    assert one.digest == layout.zeros().digest
    assert one.digest != Adapter(layout, torch.ones(layout.size)).digest


def test_size_of_stable_diffusion_attention_is_the_published_one():
    """algorithms 16.19: 1,594,368 numbers at rank 8 on the attention of SD 1.5, from its published shapes."""
    parts = []
    for width, blocks in ((320, 5), (640, 5), (1280, 6)):  # 2 down + 3 up; the middle block is the sixth of 1280
        for block in range(blocks):
            for kind, context in (("attn1", width), ("attn2", 768)):
                for name, columns in (("to_q", width), ("to_k", context), ("to_v", context), ("to_out", width)):
                    parts.append(LowRank(f"{width}.{block}.{kind}.{name}", width, columns, 8))
    assert len(parts) == 128
    assert Layout("sd15", tuple(parts)).size == 1_594_368
