"""What documents are about, where nobody says it: groups of alike words, as labels to share them out by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coterie.core.errors import UserError
from coterie.data.table import Table

WIDTH = 50  # dimensions to which counts of words are brought down, as in latent semantic analysis
MOST_SHARE = 0.5  # a word that more documents have than this says nothing of a topic


def with_topics(table: Table, count: int) -> Table:
    """The table with a column ``topic``, the same for all rows of a document."""
    names = table.columns.get("document") or ("",) * len(table)
    whole: dict[tuple[str, int], list[str]] = {}
    keys = [(name, -1 if name else i) for i, name in enumerate(names)]
    for key, text in zip(keys, table.captions, strict=True):
        whole.setdefault(key, []).append(text)
    found = dict(zip(whole, topics(["\n".join(pieces) for pieces in whole.values()], count), strict=True))
    return replace(table, columns={**table.columns, "topic": tuple(found[key] for key in keys)})


def topics(texts: Sequence[str], count: int) -> list[str]:
    """One of ``count`` topics for each text, ``topic-1`` the largest.

    k-means on latent semantic analysis (Deerwester et al., 1990): tf-idf of words, a truncated SVD, rows of length one.
    The same texts give the same topics.

    Raises:
        UserError: if there are fewer texts with words than topics.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    if len(texts) < count:
        raise UserError(f"topics: {count} topics cannot be made of {len(texts)} documents; lower it")
    try:
        words = TfidfVectorizer(sublinear_tf=True, max_df=MOST_SHARE, stop_words="english").fit_transform(texts)
    except ValueError:
        raise UserError("topics: the documents share no words that could tell topics apart; leave it out") from None
    width = min(WIDTH, min(words.shape) - 1)
    rows = normalize(TruncatedSVD(width, random_state=0).fit_transform(words)) if width > 0 else words.toarray()
    found = KMeans(count, n_init=4, random_state=0).fit_predict(rows)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable").tolist()
    return [f"topic-{order.index(label) + 1}" for label in found.tolist()]
