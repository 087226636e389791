"""Attacks on a toy encoder, where what can be read is known."""

import math

import pytest
import torch

from coterie.evals.attack_texts import TEMPLATES, content_words, dictionary, sentences
from coterie.evals.inversion import decoded_words, nearest_words, pieces_of, recall, ridge

WIDTH, WORDS = 32, 60


def world(seed=0, texts=400):
    """Words as directions, a text as their sum turned by an unknown rotation."""
    draw = torch.Generator().manual_seed(seed)
    words = torch.randn(WORDS, WIDTH, generator=draw)
    bags = torch.zeros(texts, WORDS)
    for row in bags:
        row[torch.randperm(WORDS // 2, generator=draw)[:4]] = 1  # the second half of the words is never trained on
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=draw))[0]
    meant = [[30 + 2 * i, 31 + 2 * i] for i in range(15)]
    caught = torch.stack([words[m].sum(0) for m in meant])
    return words, bags, bags @ words @ turn, caught @ turn, meant


def test_ridge_is_the_solution_of_its_equation():
    x, y = torch.randn(50, 6), torch.randn(50, 3)
    weights = ridge(x, y, 0.1)
    x, y = x.double(), y.double()
    penalty = 0.1 * (x * x).sum() / 6
    assert torch.allclose(x.T @ (x @ weights - y) + penalty * weights, torch.zeros(6, 3, dtype=torch.double), atol=1e-9)


def test_a_decoder_reads_words_that_it_never_trained_on():
    words, bags, train, caught, meant = world()
    assert recall(decoded_words(caught, train, bags, words), meant) > 0.6
    noise = torch.randn(caught.shape, generator=torch.Generator().manual_seed(5))
    assert recall(decoded_words(noise, train, bags, words), meant) < 0.2


def test_nearest_words_need_no_training():
    words, _, _, _, meant = world()
    vectors = torch.stack([words[m].sum(0) for m in meant])
    assert recall(nearest_words(vectors, words), meant) > 0.6


def test_states_give_their_pieces_back_also_unseen_ones():
    draw = torch.Generator().manual_seed(2)
    table = torch.randn(200, WIDTH, generator=draw)
    turn = torch.randn(WIDTH, WIDTH, generator=draw)
    seen, unseen = torch.arange(100), torch.arange(100, 200)
    read = pieces_of(table[unseen] @ turn, table[seen] @ turn, seen, table)
    assert (read == unseen).float().mean() > 0.9


def test_recall_counts_as_many_guesses_as_there_are_words():
    scores = torch.tensor([[9.0, 8, 7, 6], [9, 8, 7, 6], [9, 8, 7, 6]])
    assert recall(scores, [[0, 3], [0], []]) == pytest.approx((0.5 + 1) / 2)
    assert recall(scores, [[0, 3], [2], []], most=3) == pytest.approx((0.5 + 1) / 2)
    assert math.isnan(recall(scores, [[], [], []]))


def test_an_attacker_is_not_trained_on_what_it_is_to_read():
    words = dictionary(["the", "from", "like", "pictures", "a", "neon", "glowing", "kite", "stone"])
    assert words == ["neon", "glowing", "kite", "stone"]
    assert content_words(["glowing", "neon", "##s", "like", "neon"], set(words)) == ["glowing", "neon"]
    made = sentences(["kite", "stone"], 40, 1)
    assert made == sentences(["kite", "stone"], 40, 1) != sentences(["kite", "stone"], 40, 2)
    assert not [text for text in made if "neon" in text or "glowing" in text or "{" in text]
    assert len(TEMPLATES) > 5
