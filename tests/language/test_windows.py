"""Windows: every token foretold exactly once, whatever the documents."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.evals.perplexity import bits_by_character, by_token, by_word, units_of
from coterie.models.windows import drawn, fixed, last_of, losses, preceded, windows

documents = st.lists(st.lists(st.integers(3, 20), max_size=9), max_size=6)


@given(documents, st.integers(1, 7))
def test_every_token_is_foretold_once(texts, context):
    rows = windows(texts, 1, 2, context)
    told = [int(t) for row, n in zip(rows["tokens"], rows["count"], strict=True) for t in row[1 : 1 + n]]
    assert told == [token for text in texts for token in (*text, 2)]
    assert rows["tokens"].shape == (len(rows["count"]), context + 1)
    assert all(1 <= n <= context for n in rows["count"].tolist())
    firsts = rows["tokens"][:, 0].tolist()
    assert firsts == [1, *told][::context][: len(firsts)]


@given(st.lists(st.lists(st.integers(3, 20), min_size=1, max_size=9), min_size=1, max_size=6), st.integers(1, 7))
def test_the_mean_over_rows_is_the_mean_over_tokens(texts, context):
    rows = fixed(windows(texts, 1, 2, context))
    logits = torch.randn(len(rows["count"]), context, 21, generator=torch.Generator().manual_seed(0))
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows["tokens"][:, 1:].flatten(), reduction="none")
    counts = torch.arange(context) < rows["count"][:, None]
    wanted = nats.view_as(counts)[counts].mean()
    assert float(losses(logits, rows).mean()) == pytest.approx(float(wanted), rel=1e-5)


def test_what_stands_before_a_window_is_read_and_not_scored():
    rows = fixed(windows([[5, 6, 7, 8], [9]], 1, 2, 4))
    before = last_of(windows([[11, 12, 13]], 1, 2, 3), 3)
    assert before.tolist() == [12, 13, 2]
    more = preceded(rows, before)
    logits = torch.randn(2, 4, 21, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([torch.randn(2, 3, 21), logits], 1)
    assert torch.allclose(losses(padded, more), losses(logits, rows))
    assert last_of(rows, 100).tolist() == [5, 6, 7, 8, 2, 9, 2]


def test_a_drawn_row_is_the_mean_over_its_own_tokens():
    rows = drawn(windows([[5, 6]], 1, 2, 8), 3, torch.Generator().manual_seed(0))
    assert rows["share"].tolist() == pytest.approx([1 / 3] * 3)


def test_units_of_the_same_text_do_not_depend_on_the_vocabulary():
    few, many = units_of(["one two", "three"], 5), units_of(["one two", "three"], 20)
    assert by_word(2.0, few) == pytest.approx(by_word(0.5, many))
    assert bits_by_character(2.0, few) == pytest.approx(bits_by_character(0.5, many))
    assert by_token(0.0) == 1.0
    assert by_word(1e6, few) == float("inf")
