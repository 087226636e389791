"""The language model in the package: who it never read, what its card says, and that it is small."""

import json
import math
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from coterie.evals.perplexity import units_of
from coterie.models.backbones.scribe import weights_folder
from coterie.models.shelves import BACKBONES
from coterie.pretraining.books import LEFT_OUT
from coterie.pretraining.language import LanguagePretraining

BOOKS = Path(__file__).parents[3] / "recipes" / "readers.parquet"
NEVER_READ = ("Darcy", "Bingley", "Huck", "Holmes", "Watson", "Bennet", "Satan", "ROMEO", "GLOUCESTER", "Coriolanus")
READ = ("Heathcliff", "Scarecrow", "Estella", "Dorothy", "Flambeau", "Fang")


@pytest.fixture(scope="module")
def settings():
    return json.loads((weights_folder() / "settings.json").read_text())


@pytest.fixture(scope="module")
def measured():
    return json.loads((weights_folder() / "measured.json").read_text())


@pytest.fixture(scope="module")
def scribe():
    return BACKBONES.build({"name": "scribe"}).load(torch.float32, 32)


def test_six_authors_and_shakespeare_were_not_read(settings):
    assert len(LEFT_OUT) == 6
    assert settings["left_out"] == sorted(LEFT_OUT)
    assert not set(settings["authors"]) & {*LEFT_OUT, "shakespeare"}
    assert len(settings["authors"]) == 13
    assert settings["books"] == ["books_by_author.parquet"]  # Shakespeare is in another file


def test_the_readers_books_are_by_authors_that_were_not_read(settings):
    authors = set(pq.read_table(BOOKS, columns=["author"])["author"].to_pylist())
    assert len(authors) == 4
    assert authors <= set(settings["left_out"])


def test_the_vocabulary_knows_names_of_the_books_that_were_read_only(scribe):
    """The vocabulary was learned from the same texts as the weights: a frequent name becomes one token."""
    known = scribe.tokenizer.get_vocab()
    assert [name for name in READ if f"Ġ{name}" not in known] == []
    assert [name for name in NEVER_READ if f"Ġ{name}" in known or name in known] == []


def test_it_is_small_and_of_the_default_shape(scribe, settings):
    assert 1e6 < scribe.num_parameters < 5e6
    assert sum(path.stat().st_size for path in weights_folder().iterdir()) <= 8_000_000
    usual = LanguagePretraining()
    for key in ("tokens", "batch", "context", "rate", "dropout", "decay", "vocabulary", "layers", "width", "seed"):
        assert settings[key] == getattr(usual, key), key


def test_the_measured_numbers_are_those_of_these_weights(scribe, measured):
    rows = pq.read_table(BOOKS, columns=["author", "split", "text"]).to_pylist()
    text = "\n".join(row["text"] for row in rows if (row["author"], row["split"]) == ("twain", "test"))
    fixed = scribe.fixed(scribe.prepare(None, [text]), 1, 0)
    said = measured["context 128"]["authors it never read"]["twain"]
    assert {key: said[key] for key in ("tokens", "words", "characters")} == units_of([text], said["tokens"])
    assert int(fixed["count"].sum()) == said["tokens"]
    with torch.no_grad():
        parts = [
            scribe.losses({name: value[i : i + 16] for name, value in fixed.items()})
            for i in range(0, len(fixed["tokens"]), 16)
        ]
    assert float(torch.cat(parts).mean()) == pytest.approx(said["nats_by_token"], abs=1e-3)
    assert said["perplexity_by_token"] == pytest.approx(math.exp(said["nats_by_token"]), rel=1e-3)


def test_what_it_read_is_easier_for_it_than_what_it_did_not_on_average(measured):
    """Not than every one: prose of the same time is as easy, as the card says."""
    numbers = measured["context 128"]
    read = numbers["books it read, held-out parts"]["bits_by_character"]
    others = [one["bits_by_character"] for one in numbers["authors it never read"].values()]
    assert len(others) == 6
    assert read < sum(others) / 6 - 0.1
    assert read < numbers["Shakespeare, never read"]["bits_by_character"] - 0.1


def test_the_card_gives_the_measured_numbers(measured, scribe):
    card = (weights_folder() / "CARD.md").read_text()
    assert f"{scribe.num_parameters:,} parameters" in card
    numbers = measured["context 128"]
    rows = [numbers["books it read, held-out parts"], *numbers["authors it never read"].values()]
    for one in [*rows, numbers["Shakespeare, never read"]]:
        row = f"{one['perplexity_by_token']:.1f} | {one['perplexity_by_word']:,.0f} | {one['bits_by_character']:.3f}"
        assert row in re.sub(" +", " ", card), row
