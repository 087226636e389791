"""Attacks that read words from encoded texts by somebody who knows the encoder, the mode and its projection.

Song and Raghunathan, 2020 (arXiv:2004.00053) read words from sentence vectors; Morris et al., 2023 (arXiv:2310.06816)
whole sentences, with a far larger trained decoder. These here are smaller: what they read is a lower bound.
"""

from __future__ import annotations

import torch
from torch import Tensor

STRENGTH = 0.03  # of a ridge, against the mean energy of an input number; chosen on invented people
_ROWS = 64  # scored at once


def ridge(inputs: Tensor, targets: Tensor, strength: float = STRENGTH) -> Tensor:
    """``argmin_W |X W - Y|^2 + strength * tr(X^T X) / d * |W|^2`` in float64.

    Shapes: ``X (n, d)``, ``Y (n, k)``, the result ``(d, k)``.
    """
    x, y = inputs.double(), targets.double()
    gram = x.T @ x
    penalty = strength * gram.diagonal().mean()
    weights: Tensor = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), x.T @ y)
    return weights


def pieces_of(states: Tensor, train_states: Tensor, train_ids: Tensor, table: Tensor) -> Tensor:
    """The vocabulary's piece that each state most likely stands for: ridge to the public table, then the nearest row.

    Args:
        states: what was caught, ``(n, d)``.
        train_states: the attacker's own, made the same way, ``(m, d)``.
        train_ids: which pieces those were, ``(m,)``.
        table: how pieces enter the encoder, ``(pieces, width)``.

    Returns:
        Numbers of pieces, ``(n,)``.
    """
    rows = _unit(table.float() - table.float().mean(0))
    weights = ridge(train_states, rows[train_ids]).float()
    found = [(part.float() @ weights @ rows.T).argmax(1) for part in states.split(_ROWS)]
    return torch.cat(found)


def nearest_words(vectors: Tensor, words: Tensor) -> Tensor:
    """Scores ``(n, words)``: cosine between each caught vector and each word of a bank, encoded as a text of its own.

    Args:
        vectors: ``(n, d)``.
        words: the bank in the mode's space, ``(words, d)``; its mean is taken out, which all words share.
    """
    return _unit(vectors.float()) @ _unit(words.float() - words.float().mean(0)).T


def decoded_words(vectors: Tensor, train_vectors: Tensor, train_bags: Tensor, words: Tensor) -> Tensor:
    """Scores ``(n, words)`` of a linear decoder from a vector to a bag of words, also for words it never trained on.

    The decoder is trained to give the sum of the vectors of a text's words; a word's score is the product with its
    vector. So nothing about a word has to be learned but where it lies, and that is public.

    Args:
        vectors: what was caught, ``(n, d)``.
        train_vectors: the attacker's own, made the same way, ``(m, d)``.
        train_bags: which words those hold, ``(m, words)``.
        words: every word as a text of its own, before any mode, ``(words, width)``.
    """
    places = _unit(words.float() - words.float().mean(0))
    weights = ridge(train_vectors, train_bags.float() @ places).float()
    return (vectors.float() @ weights) @ places.T


def recall(scores: Tensor, meant: list[list[int]], most: int = 0) -> float:
    """Mean share of a text's words among its highest scores: as many as there are words to find, or ``most``.

    Texts without a word to find are left out; NaN if there is no other.

    Args:
        scores: ``(n, words)``.
        meant: numbers of the words that are really in each text.
        most: guesses; 0 for one a word.
    """
    shares = []
    for row, words in zip(scores, meant, strict=True):
        if words:
            guessed = set(row.topk(min(most or len(words), len(row))).indices.tolist())
            shares.append(len(guessed & set(words)) / len(words))
    return sum(shares) / len(shares) if shares else float("nan")


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
