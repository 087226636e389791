"""Runs of words against the plain way to find them."""

from hypothesis import given
from hypothesis import strategies as st

from coterie.evals.copied_words import Known, words_of

texts = st.lists(st.sampled_from("abc"), max_size=12)


@given(texts, st.lists(texts, max_size=4))
def test_the_longest_run_is_that_of_trying_all(text, documents):
    runs = {tuple(d[i:j]) for d in documents for i in range(len(d)) for j in range(i + 1, len(d) + 1)}
    own = [tuple(text[i:j]) for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
    wanted = max((len(run) for run in own if run in runs), default=0)
    assert Known(documents).longest_run(text) == wanted


def test_words_are_what_letters_make():
    assert words_of("The cat's “mat”, 3 times.") == ["the", "cat", "s", "mat", "3", "times"]
