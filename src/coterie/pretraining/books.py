"""Books in the public domain as training text: read from parquet, some authors left out, a vocabulary of their own.

A file holds a row a paragraph in reading order, with the columns ``author``, ``text`` and ``split`` (``train``,
``validation``, ``test``), as ``books_by_author.parquet`` has them (Standard Ebooks, CC0). What an author wrote between
two splits stays one document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError, nearest

LEFT_OUT = ("austen", "doyle", "milton", "twain", "wells", "whitman")
"""Authors whom no pre-training may see: people of recipes read them. Nor may it see Shakespeare, in another file."""

VOCABULARY = 4096
END = "<|end|>"
PIECE = 5000  # letters that the vocabulary is learned from at once
COLUMNS = ("author", "split", "text")


@dataclass(frozen=True)
class Library:
    """What is trained on, and what the loss is measured on: documents, who wrote them, and whose are not read."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    authors: tuple[str, ...]
    left_out: tuple[str, ...]


def read_books(files: Sequence[Path], left_out: Sequence[str] | None = None) -> Library:
    """Books of all authors but some; ``validation`` is what the loss is measured on, ``test`` is not touched.

    Args:
        files: in parquet.
        left_out: authors who are not read; None is those of ``LEFT_OUT`` who are there.

    Raises:
        UserError: if a file cannot be read, has not the columns, or an author to leave out is in none of them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[tuple[str, str, str]] = []
    for path in files:
        try:
            found = pq.read_table(path, columns=list(COLUMNS)).to_pydict()
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise UserError(f"{path}: not a file of books ({', '.join(COLUMNS)}): {reason}") from None
        rows += zip(*(map(str, found[name]) for name in COLUMNS), strict=True)
    known = {author for author, _, _ in rows}
    left_out = [name for name in LEFT_OUT if name in known] if left_out is None else left_out
    for name in left_out:
        if name not in known:
            raise UserError(f"--leave-out {name}: no such author{nearest(name, known)}")
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for (author, split), some in groupby(rows, key=lambda row: row[:2]):
        if author not in left_out and split in parts:
            parts[split].append("\n".join(text for _, _, text in some))
    if not parts["train"] or not parts["validation"]:
        raise UserError(f"{files[0]}: nothing is left to train on or to measure on; leave out fewer authors")
    authors, others = sorted(known - set(left_out)), sorted(left_out)
    return Library(tuple(parts["train"]), tuple(parts["validation"]), tuple(authors), tuple(others))


def vocabulary(texts: Sequence[str], size: int = VOCABULARY) -> Any:
    """A byte-level BPE tokenizer of transformers, learned from texts; every text can be written in it.

    Source: Sennrich et al., ACL 2016, arXiv:1508.07909; on bytes as in GPT-2.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    plain: Any = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    plain.train_from_iterator((t[i : i + PIECE] for t in texts for i in range(0, len(t), PIECE)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=END, bos_token=END)
