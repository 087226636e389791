"""What wishes give away in every mode, and how well groups are still found: ``coterie audit prompts``.

The attacker is whoever runs the server: it knows the encoder, the recipe and its seed. It trains on sentences of words
that are in none of the wishes, so it reads wishes whose words it never saw. See ``coterie.evals.inversion``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coterie.core.errors import UserError
from coterie.core.progress import Steps, unheard
from coterie.core.seeds import seed_for
from coterie.core.site import Facts
from coterie.data.population import Population
from coterie.evals.attack_texts import content_words, dictionary, sentences
from coterie.evals.inversion import decoded_words, nearest_words, pieces_of, recall
from coterie.evals.wishes import KINDS, agreement
from coterie.federation.groupings.wishes import Wishes
from coterie.federation.wish_mode import WishMode, wish_mode_of
from coterie.models.encoders.minilm import MiniLM, minilm
from coterie.models.encoders.public import public_texts, wish_vectors
from coterie.runs.folder import RunFolder, new_folder
from coterie.runs.people import population_of
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import Recipe

MODES = (
    WishMode(), WishMode(rounding="int8"), WishMode(rounding="sign"), WishMode(project=128), WishMode(project=64),
    WishMode(project=32), WishMode(project=16), WishMode(noise=0.025), WishMode(noise=0.05), WishMode(noise=0.1),
    WishMode(project=64, rounding="sign"), WishMode(project=64, noise=0.1, rounding="sign"),
)  # fmt: skip
TRAINING = 3000  # sentences of the attacker
IN_TWENTY = 20  # guesses of the second score
GUESSES = 8  # words shown of what an attacker reads
SHOWN = 3  # wishes shown
CHUNK = 256  # texts encoded at once


@dataclass(frozen=True)
class _Lab:
    """Everything encoded once: wishes and the attacker's texts, before any mode."""

    wishes: list[tuple[str, str, str]]  # client, kind, words
    vectors: Tensor
    states: list[Tensor]
    ids: list[list[int]]
    meant: list[list[int]]  # per wish, numbers of its content words in the dictionary
    words: list[str]
    word_vectors: Tensor
    train_vectors: Tensor
    train_bags: Tensor
    train_states: Tensor
    train_ids: Tensor


def place(what: Path | None, out: Path | None) -> Path:
    """Where results go if nobody says: in the run, but not below ``server/``, for they hold wishes in words."""
    if out is not None:
        return out
    return what / "audit" if what is not None and what.is_dir() else new_folder(Path("."), "audit")


def audit_prompts(
    what: Path | None, seeds: int = 5, progress: Steps = unheard, modes: Sequence[WishMode] = MODES,
    training: int = TRAINING,
) -> dict[str, Any]:  # fmt: skip
    """Attacks the wishes of a run or a recipe in every mode.

    Args:
        what: folder of a run, a TOML file, or None for the quick start.
        seeds: draws of projections and noise; modes without either are measured once.
        progress: called with steps done and steps in all.
        modes: that are tried; the recipe's own is added.
        training: sentences that the attacker trains on.

    Returns:
        ``modes``: a row each, see ``table``; ``shown``: by mode, what is read of a few wishes; ``blind``: what somebody
        finds who caught nothing; counts of all.

    Raises:
        UserError: if nobody's wish is known in words.
    """
    recipe = _recipe(what)
    people = population_of(recipe, 32)
    own = wish_mode_of(recipe.form)
    modes = (*modes, *([own] if own not in modes else []))
    ready = 2 + -(-training // CHUNK)
    total = ready + sum(_draws(mode, seeds) for mode in modes)
    lab = _prepared(recipe, people, training, lambda done: progress(done, total))
    encoder, done, shown = minilm(), ready, {}
    rows: list[dict[str, Any]] = []
    table, grouping = encoder.piece_vectors(), getattr(recipe.form, "grouping", None)
    if grouping is None or grouping.reads != "wishes":
        grouping = Wishes()
    for mode in modes:
        drawn: list[dict[str, float | None]] = []
        for draw in range(_draws(mode, seeds)):
            seed = seed_for(recipe.seed, draw, "", "audit")
            scores, guessed, read = _attacked(lab, mode, seed, table)
            found = {kind: _agreement(lab, mode, seed, kind, people, grouping) for kind in KINDS}
            drawn.append({**scores, **found})
            if draw == 0:
                shown[mode.title] = _shown(lab, guessed, read, encoder)
            progress(done := done + 1, total)
        rows.append({
            "mode": mode.title, "bytes": _bytes(mode, lab.vectors), "draws": len(drawn),
            **{key: _spread([one[key] for one in drawn]) for key in drawn[0]},
        })  # fmt: skip
    blind = torch.randn(len(lab.wishes), len(lab.words), generator=torch.Generator().manual_seed(0))
    return {
        "modes": rows, "shown": shown, "own": own.title, "seeds": seeds, "recipe": recipe.name,
        "blind": {"same": recall(blind, lab.meant), "twenty": recall(blind, lab.meant, IN_TWENTY)},
        "wishes": len(lab.wishes), "people": len(people.clients), "content_words": sum(map(len, lab.meant)),
        "dictionary": len(lab.words), "training": training, "training_states": len(lab.train_ids),
    }  # fmt: skip


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows for a terminal: a mode, the bytes of a wish, shares of content words read, and groups found.

    ``states``: from token states. ``near`` and ``decoded``: from pooled vectors, a guess a word; ``in 20``: in twenty.
    """
    names = {"states": "states", "near": "near", "decoded": "decoded", "twenty": "in 20"}
    names |= {kind: f"ARI {kind}" for kind in KINDS}
    return [
        {"mode": row["mode"], "bytes": row["bytes"], **{names[key]: row[key] and row[key]["mean"] for key in names}}
        for row in found["modes"]
    ]


def _draws(mode: WishMode, seeds: int) -> int:
    return seeds if mode.project or mode.noise else 1


def _recipe(what: Path | None) -> Recipe:
    if what is not None and what.is_dir():
        if not RunFolder(what).exists:
            raise UserError(f"{what}: neither a run nor a recipe; wanted a folder of a run or a TOML file")
        return read_recipe(RunFolder(what).server / "recipe.toml")
    return read_recipe(what)


def _prepared(recipe: Recipe, people: Population, training: int, progress: Callable[[int], None]) -> _Lab:
    wishes = [
        (name, kind, client.wishes[kind])
        for name, client in sorted(people.clients.items()) for kind in KINDS if client.wishes.get(kind)
    ]  # fmt: skip
    if not wishes:
        raise UserError("data: nobody's wish is known in words, so there is nothing to read; try a recipe with wishes")
    encoder = minilm()
    texts = [words for _, _, words in wishes]
    encoded = encoder.alone(texts)
    ids = [encoder.pieces(text)[1:-1] for text in texts]  # the marks of beginning and end are no secret
    words = dictionary(encoder.words())
    places = {word: i for i, word in enumerate(words)}
    meant = [[places[word] for word in content_words(encoder.spelled(row), places)] for row in ids]
    audited = {words[i] for row in meant for i in row} | {piece for row in ids for piece in encoder.spelled(row)}
    own = sentences([word for word in words if word not in audited], training, seed_for(recipe.seed, 0, "", "attacker"))
    progress(1)
    public = encoder.encode(public_texts()).pooled
    word_vectors = wish_vectors(encoder.encode(words, 256).pooled, public)
    progress(2)
    states, pooled, train_ids = [], [], list[int]()
    bags = torch.zeros(len(own), len(words))
    for start in range(0, len(own), CHUNK):
        part = own[start : start + CHUNK]
        got = encoder.encode(part, 64)
        pooled.append(got.pooled)
        for i, text in enumerate(part):
            row = encoder.pieces(text)
            states.append(got.states[i, 1 : len(row) - 1])
            train_ids += row[1:-1]
            bags[start + i, [places[word] for word in content_words(encoder.spelled(row), places)]] = 1.0
        progress(2 + start // CHUNK + 1)
    return _Lab(
        wishes, wish_vectors(torch.cat([got.pooled for got in encoded]), public),
        [got.states[0, 1 : len(row) + 1] for got, row in zip(encoded, ids, strict=True)],
        ids, meant, words, word_vectors,
        wish_vectors(torch.cat(pooled), public), bags, torch.cat(states), torch.tensor(train_ids),
    )  # fmt: skip


def _attacked(
    lab: _Lab, mode: WishMode, seed: int, table: Tensor
) -> tuple[dict[str, float | None], Tensor, list[Tensor]]:
    """Scores of all attacks on one mode, those of the decoder's words by wish, and the pieces read from states."""

    def caught(vectors: Tensor, whose: str) -> Tensor:
        return mode.opened(mode.sent(vectors, seed, seed_for(seed, 0, whose, "noise")))

    bank = mode.without_noise.opened(mode.without_noise.sent(lab.word_vectors, seed, 0))
    vectors = caught(lab.vectors, "people")
    near = nearest_words(vectors, bank)
    decoded = decoded_words(vectors, caught(lab.train_vectors, "attacker"), lab.train_bags, lab.word_vectors)
    lengths = [len(row) for row in lab.ids]
    unit = torch.nn.functional.normalize
    states = caught(unit(torch.cat(lab.states), dim=1), "people's states")
    own = caught(unit(lab.train_states, dim=1), "attacker's states")
    read = list(pieces_of(states, own, lab.train_ids, table).split(lengths))
    return {
        "states": _read_words(lab, read), "near": recall(near, lab.meant), "decoded": recall(decoded, lab.meant),
        "twenty": max(recall(near, lab.meant, IN_TWENTY), recall(decoded, lab.meant, IN_TWENTY)),
    }, decoded if recall(decoded, lab.meant) >= recall(near, lab.meant) else near, read  # fmt: skip


def _read_words(lab: _Lab, read: list[Tensor]) -> float:
    """Mean share of a wish's content words that were read at their own places."""
    encoder, shares = minilm(), []
    for ids, got, meant in zip(lab.ids, read, lab.meant, strict=True):
        numbers = {encoder.number(lab.words[i]) for i in meant}
        right = {wanted for wanted, piece in zip(ids, got.tolist(), strict=True) if wanted == piece}
        if numbers:
            shares.append(len(numbers & right) / len(numbers))
    return sum(shares) / len(shares)


def _agreement(lab: _Lab, mode: WishMode, seed: int, kind: str, people: Population, grouping: Any) -> float | None:
    """How well groups found in one kind of wish, as sent, agree with the truth; None where not everybody has both."""
    mine = [i for i, (_, other, _) in enumerate(lab.wishes) if other == kind]
    facts = {name: Facts(1, client.style) for name, client in people.clients.items()}
    if len(mine) < max(3, len(facts)) or any(fact.truth is None for fact in facts.values()):
        return None
    vectors = {
        lab.wishes[i][0]: mode.opened(
            mode.sent(lab.vectors[i], seed, seed_for(seed, 0, lab.wishes[i][0], f"noise/{kind}"))
        )
        for i in mine
    }
    return float(agreement(grouping, vectors, facts, seed)["ari"])


def _shown(lab: _Lab, guessed: Tensor, read: list[Tensor], encoder: MiniLM) -> list[dict[str, Any]]:
    chosen = [i for i, (_, kind, _) in enumerate(lab.wishes) if kind == lab.wishes[0][1]][:SHOWN]
    return [
        {
            "wish": lab.wishes[i][2],
            "states": " ".join(encoder.spelled(read[i].tolist())).replace(" ##", ""),
            "words": [lab.words[k] for k in guessed[i].topk(GUESSES).indices.tolist()],
            "found": [lab.words[k] for k in guessed[i].topk(GUESSES).indices.tolist() if k in lab.meant[i]],
        }
        for i in chosen
    ]


def _bytes(mode: WishMode, vectors: Tensor) -> int:
    sent = mode.sent(vectors[0], 0, 0)
    return sent.numel() * sent.element_size()


def _spread(values: list[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"mean": statistics.fmean(known), "least": min(known), "most": max(known)}
