"""How well scribe foretells text that it has not seen: held-out parts of its books, and authors whom it never read.

    python tools/measure_scribe.py books_by_author.parquet shakespeare_by_role.parquet [--folder FOLDER]

Writes ``measured.json`` beside the weights, and prints how it goes on with a few beginnings. Of every author the rows
``test`` are one document; of Shakespeare each role's are one.
"""

import argparse
import json
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq
import torch

from coterie.bank.write import Writing, pick
from coterie.evals.perplexity import bits_by_character, by_token, by_word, units_of
from coterie.models.backbones.scribe import weights_folder
from coterie.models.backbones.transformers_lm import opened
from coterie.models.language import LanguageModel

BEGINNINGS = ("It was a", "She looked at the", "In the morning", "He said that", "The captain", '"I have never')
ROWS = 16


def documents(path: str, who: str) -> dict[str, str]:
    """The held-out text of each author or role."""
    rows = pq.read_table(path, columns=[who, "split", "text"]).to_pylist()
    held = sorted((row for row in rows if row["split"] == "test"), key=lambda row: row[who])  # stable: order stays
    return {name: "\n".join(row["text"] for row in some) for name, some in groupby(held, key=lambda row: row[who])}


def measured(model: LanguageModel, texts: list[str]) -> dict[str, float]:
    rows = model.fixed(model.prepare(None, texts), 1, 0)
    with torch.no_grad():
        parts = [
            model.losses({name: value[i : i + ROWS] for name, value in rows.items()})
            for i in range(0, len(rows["tokens"]), ROWS)
        ]
    loss = float(torch.cat(parts).double().mean())
    units = units_of(texts, int(rows["count"].sum()))
    return {
        **units, "nats_by_token": round(loss, 4), "perplexity_by_token": round(by_token(loss), 2),
        "perplexity_by_word": round(by_word(loss, units), 1),
        "bits_by_character": round(bits_by_character(loss, units), 4),
    }  # fmt: skip


def written(model: LanguageModel, begun: str, seed: int, count: int = 60) -> str:
    """One draw at the settings that recipes have."""
    tokens, generator = model.begin(begun), torch.Generator().manual_seed(seed)
    for _ in range(count):
        logits, _past = model.proceed(torch.tensor([tokens]))
        tokens.append(pick(logits[0], Writing(), generator))
        if tokens[-1] == model.end:
            break
    return model.text(tokens)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("books")
    parser.add_argument("plays")
    parser.add_argument("--folder", type=Path, default=weights_folder())
    options = parser.parse_args()
    torch.set_num_threads(1)
    read = set(json.loads((options.folder / "settings.json").read_text())["authors"])
    books = documents(options.books, "author")
    network, tokenizer = opened(str(options.folder), "", torch.float32, "cpu")
    found: dict[str, object] = {}
    for context in (128, 256):
        model = LanguageModel(network, tokenizer, torch.float32, "cpu", context, "scribe")
        found[f"context {context}"] = {
            "books it read, held-out parts": measured(model, [books[name] for name in sorted(read)]),
            "authors it never read": {name: measured(model, [books[name]]) for name in sorted(books.keys() - read)},
            "Shakespeare, never read": measured(model, list(documents(options.plays, "role").values())),
        }
    (options.folder / "measured.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    for number, begun in enumerate(BEGINNINGS):
        print("-", written(model, begun, number).replace("\n", " / "))


if __name__ == "__main__":
    main()
