"""Texts of many requests in one call: every request its own adapters, its own seed, its own end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor

from coterie.bank.bank import Bank
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.progress import Steps, unheard
from coterie.core.room import with_room
from coterie.models.backbone import Writes

WIDTH = 8  # requests a call, unless memory allows fewer
NO_ROOM = "not even one text fits into memory: {}; lower texts.tokens"
HALF = "\ufffd"  # what half a letter is read as: a letter may take several tokens

Hear = Callable[[int, str], None]


@dataclass(frozen=True)
class Writing:
    """How the next token is chosen.

    Attributes:
        tokens: at most so many are written.
        temperature: logits are divided by it; 0 always takes the likeliest token.
        top_p: only the likeliest tokens that together have this probability are drawn from (Holtzman et al., ICLR 2020,
            arXiv:1904.09751).
    """

    tokens: int = 64
    temperature: float = 0.8
    top_p: float = 0.95


@dataclass(frozen=True)
class Asked:
    """One text: how it begins, with which weighted adapters it goes on (none is the bare backbone), from which seed."""

    prompt: str
    mix: tuple[tuple[Adapter, float], ...]
    seed: int


def write(
    bank: Bank,
    asked: Sequence[Asked],
    writing: Writing,
    width: int = WIDTH,
    hear: Hear = lambda index, piece: None,
    progress: Steps = unheard,
) -> list[str]:
    """How each prompt goes on, in the order of the requests; the prompts are not repeated.

    A text depends on its own request and on ``width`` alone: calls are filled up to it and hold prompts of one length
    in tokens, so that nothing is padded and nothing masked, and mixes of one length and rank.

    Args:
        bank: over a backbone that writes.
        asked: the requests.
        writing: how tokens are chosen.
        width: requests a call; 1 where somebody waits for the first words.
        hear: told a request's number and each piece of its text, as soon as its letters are whole.
        progress: told tokens written and tokens in all.

    Raises:
        UserError: if a prompt and what is to follow are longer than the network can look back, or memory runs out.
    """
    backbone = cast(Writes, bank.backbone)
    begun = [backbone.begin(one.prompt) for one in asked]
    for one, tokens in zip(asked, begun, strict=True):
        if len(tokens) + writing.tokens > backbone.positions:
            raise UserError(
                f"a prompt of {len(tokens)} tokens ({one.prompt[:40]!r}) and {writing.tokens} more are beyond the "
                f"{backbone.positions} that the model can look back on; shorten it, or write fewer tokens"
            )
    return with_room(
        lambda: _written(bank, backbone, asked, begun, writing, min(width, bank.rows), hear, progress),
        bank.fewer_rows,
        NO_ROOM,
    )


@torch.no_grad()
def _written(
    bank: Bank,
    backbone: Writes,
    asked: Sequence[Asked],
    begun: Sequence[list[int]],
    writing: Writing,
    width: int,
    hear: Hear,
    progress: Steps,
) -> list[str]:
    out = [""] * len(asked)

    def alike(i: int) -> tuple[int, int, int]:
        mix = asked[i].mix
        return len(begun[i]), max(1, len(mix)), max((bank.rank_beyond(adapter) for adapter, _ in mix), default=0)

    chunks: list[list[int]] = []
    for _, same in groupby(sorted(range(len(asked)), key=alike), key=alike):
        of_one = list(same)
        chunks += [of_one[k : k + width] for k in range(0, len(of_one), width)]
    for number, chunk in enumerate(chunks):
        idle = width - len(chunk)
        voices = [_Voice(backbone, begun[i], torch.Generator().manual_seed(asked[i].seed)) for i in chunk]
        tokens, past = torch.tensor([begun[i] for i in chunk] + [[backbone.end] * len(begun[chunk[0]])] * idle), None
        try:
            bank.bind_groups([*(asked[i].mix for i in chunk), *[()] * idle])
            for step in range(writing.tokens):
                logits, past = backbone.proceed(tokens, past)
                for i, voice, row in zip(chunk, voices, logits, strict=False):
                    if not voice.ended and (piece := voice.say(row, writing)):
                        hear(i, piece)
                progress(number * writing.tokens + step + 1, len(chunks) * writing.tokens)
                if all(voice.ended for voice in voices):
                    break
                tokens = torch.tensor([[voice.last] for voice in voices] + [[backbone.end]] * idle)
        finally:
            bank.release()
        for i, voice in zip(chunk, voices, strict=True):
            if rest := voice.rest():
                hear(i, rest)
            out[i] = voice.said
    return out


class _Voice:
    """One text while it is written."""

    def __init__(self, backbone: Writes, begun: list[int], generator: torch.Generator) -> None:
        self.backbone, self.generator, self.tokens = backbone, generator, list(begun)
        self.before = len(backbone.text(begun))  # decoded together: some tokenizers swallow a blank at the beginning
        self.said, self.ended = "", False

    @property
    def last(self) -> int:
        return self.tokens[-1]

    def say(self, logits: Tensor, writing: Writing) -> str:
        """Takes one more token, and says what that adds."""
        token = pick(logits, writing, self.generator)
        if token == self.backbone.end:
            self.ended = True
            return ""
        self.tokens.append(token)
        whole = self._whole()
        return "" if whole.endswith(HALF) else self._add(whole)

    def rest(self) -> str:
        """What was held back because its last letter was not whole."""
        return self._add(self._whole())

    def _whole(self) -> str:
        return self.backbone.text(self.tokens)[self.before :]

    def _add(self, whole: str) -> str:
        piece, self.said = whole[len(self.said) :], whole
        return piece


def pick(logits: Tensor, writing: Writing, generator: torch.Generator) -> int:
    """One token drawn from logits ``(vocabulary,)``."""
    if not writing.temperature:
        return int(logits.argmax())
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    nothing: Any = None  # what was written before: neither of the two looks at it
    scores = TemperatureLogitsWarper(writing.temperature)(nothing, logits[None])
    if writing.top_p < 1:
        scores = TopPLogitsWarper(writing.top_p)(nothing, scores)
    return int(torch.multinomial(scores[0].softmax(-1), 1, generator=generator))
