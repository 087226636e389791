"""The data and the loop of a small language model, on books that the test writes."""

import json

import pytest
import torch
from safetensors.torch import load_file

from coterie.core.errors import UserError
from coterie.models.shelves import BACKBONES
from coterie.pretraining.books import END, read_books, vocabulary
from coterie.pretraining.folder import seen_before
from coterie.pretraining.language import LanguagePretraining, learning_rate, pretrain_language

SMALL = LanguagePretraining(
    tokens=6 * 2 * 16, batch=2, context=16, warmup=1, vocabulary=280, layers=1, width=64, save_seconds=1e9
)


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    from datasets import Dataset

    words = sorted({"the", "sea", "and", "ship", "went", "far", "in", "night", "she", "said", "that", "nothing", "was"})
    rows = [
        {
            "author": author,
            "split": split,
            "text": " ".join(words[(i + k) % len(words)] for k in range(12)),
            "title": "t",
        }
        for author in ("austen", "bronte", "conrad")
        for split, n in (("train", 9), ("validation", 3), ("test", 3))
        for i in range(n)
    ]
    path = tmp_path_factory.mktemp("books") / "books.parquet"
    Dataset.from_list(rows).to_parquet(path)
    return path


def test_authors_are_left_out_and_test_is_not_read(books):
    library = read_books([books], ["austen"])
    assert library.authors == ("bronte", "conrad")
    assert len(library.train) == len(library.held_out) == 2
    assert library.train[0].count("\n") == 8
    assert read_books([books]).left_out == ("austen",)  # of those whom recipes read, who is there
    assert read_books([books], []).authors == ("austen", "bronte", "conrad")
    with pytest.raises(UserError, match="--leave-out brontë: no such author; did you mean"):
        read_books([books], ["brontë"])
    with pytest.raises(UserError, match="nothing is left"):
        read_books([books], ["austen", "bronte", "conrad"])


def test_the_vocabulary_writes_every_text(books):
    made = vocabulary(read_books([books], ["austen"]).train, 280)
    assert len(made) == 280
    assert made.eos_token == END
    odd = "naïve\n  — 東京 🦊"
    assert made.decode(made.encode(odd)) == odd


def test_the_rate_rises_stays_and_falls():
    settings = LanguagePretraining(tokens=1_000_000, batch=1, context=1, warmup=10)
    assert learning_rate(settings, 0) == pytest.approx(settings.rate / 10)
    assert learning_rate(settings, 400_000) == settings.rate
    assert learning_rate(settings, 999_999) < settings.rate / 1000


def test_a_stopped_pretraining_goes_on_to_the_same_weights(books, tmp_path):
    points = []
    pretrain_language(tmp_path / "one", [books], SMALL, points.append, left_out=("austen",))
    assert points[-1]["tokens"] == seen_before(tmp_path / "one") == SMALL.tokens
    assert json.loads((tmp_path / "one" / "settings.json").read_text())["authors"] == ["bronte", "conrad"]
    steps = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt):
        pretrain_language(
            tmp_path / "two", [books], SMALL, points.append, left_out=("austen",), stopped=lambda: next(steps)
        )
    assert seen_before(tmp_path / "two") == 3 * SMALL.each
    pretrain_language(tmp_path / "two", [books], SMALL, points.append, left_out=("austen",))
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(UserError, match="was begun with rate"):
        pretrain_language(
            tmp_path / "two", [books], LanguagePretraining(**{**SMALL.__dict__, "rate": 1.0}), points.append,
            left_out=("austen",),
        )  # fmt: skip


def test_what_is_made_is_a_backbone(books, tmp_path):
    folder = pretrain_language(tmp_path / "made", [books], SMALL, lambda point: None, left_out=("austen",))
    model = BACKBONES.build({"name": "transformers_lm", "path": str(folder), "context": 16}).load(torch.float32, 32)
    assert model.positions == 512
    assert model.text(model.begin("the sea")[1:]) == "the sea"
    assert (folder / "texts.txt").read_text().startswith("It was a")
    assert (folder / "curve.svg").read_text().startswith("<svg")
