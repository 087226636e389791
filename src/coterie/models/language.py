"""A causal language model of transformers as a backbone, whatever folder it came from."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from coterie.core.adapter import Layout
from coterie.core.allocator import give_back_freed_memory
from coterie.core.errors import UserError
from coterie.models.backbone import Makes, Rows
from coterie.models.decoder_parts import DecoderParts, blocks_of
from coterie.models.digest import digest_of
from coterie.models.encoders.minilm import minilm
from coterie.models.packed import KINDS, pack
from coterie.models.targets import layout_of
from coterie.models.windows import drawn, fixed, last_of, losses, preceded, windows

SAMPLED = 4096  # numbers of each tensor that go into a digest
USUAL_CONTEXT = 128
PASSING = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")
"""Settings of a network that change none of its numbers."""

ATTENTION = r"(c_attn|attn\.c_proj|[qkvo]_proj)"
TARGETS = {
    "attention": rf"(^|\.){ATTENTION}$",
    "transformer": rf"(^|\.)({ATTENTION}|c_fc|mlp\.c_proj|gate_proj|up_proj|down_proj)$",
    "all": r"^(?!.*lm_head)",
}
"""``all`` leaves out the layer that turns states into words: in many models it is the embedding once more."""


class LanguageModel:
    """The backbone, frozen, in one floating-point type.

    Args:
        network: a causal language model of transformers, on the CPU, loaded in the type.
        tokenizer: of transformers, with an end mark.
        dtype: of weights and activations; adapters' masters stay float32.
        device: torch's name of where it computes; what goes in and comes out is on the CPU.
        context: tokens of an example; 0 is ``USUAL_CONTEXT``, or what the network has where that is less.
        where: begins complaints: what the user named.
        checkpointing: whether only what enters each block is kept for the backward pass, and the rest computed again.
        quantise: how frozen linear layers are packed, see ``coterie.models.packed``; the layer that turns states into
            words is left as it is, for in many models it is the embedding once more.

    Raises:
        UserError: if network and tokenizer do not belong together.
    """

    makes: Makes = "texts"
    component = "language_model"

    def __init__(
        self, network: Any, tokenizer: Any, dtype: torch.dtype, device: str = "cpu", context: int = 0,
        where: str = "backbone", checkpointing: bool = False, quantise: str = "none",
    ) -> None:  # fmt: skip
        require_same_vocabulary(network, tokenizer, where)
        self.tokenizer, self.dtype, self.device = tokenizer, dtype, device
        self.positions = int(network.config.max_position_embeddings)
        if context > self.positions:
            raise UserError(f"backbone.context: {context} is more than the {self.positions} tokens that {where} reads")
        self.context = context or min(USUAL_CONTEXT, self.positions)
        self.end = int(tokenizer.eos_token_id)
        self.start = int(tokenizer.bos_token_id) if tokenizer.bos_token_id is not None else self.end
        self.digest = digest_of(network, torch.bfloat16, SAMPLED, settings_of(network, tokenizer))
        self.num_parameters = sum(p.numel() for p in network.parameters())
        # After the digest: packed it is the same backbone, only seen less sharply. Weights have the type already, and
        # what turns positions into angles stays in float32.
        self.network = prepared_network(network, quantise, checkpointing).to(device)

    def layout(self, rank: int, alpha: float, targets: str) -> Layout:
        return layout_of(self.network, self.digest, rank, alpha, targets, TARGETS)

    def prepare(self, pixels: NDArray[np.uint8], captions: Sequence[str]) -> Rows:
        """``tokens (n, context + 1)`` and ``count (n,)``: an example is a window, see ``coterie.models.windows``."""
        return windows([self._tokens(text) for text in captions], self.start, self.end, self.context)

    def examples(self, count: int) -> Rows:
        size = len(self.tokenizer)
        tokens = torch.randint(size, (count, self.context + 1), generator=torch.Generator().manual_seed(0))
        return {"tokens": tokens, "count": torch.full((count,), self.context)}

    def draw(self, prepared: Rows, batch: int, drop: float, generator: torch.Generator) -> Rows:
        return drawn(prepared, batch, generator)

    def parts(self, cut: int, shape: str) -> DecoderParts:
        return DecoderParts(self.network, self.losses, cut, shape)

    def preceded(self, prepared: Rows, by: Rows, tokens: int) -> Rows:
        """Held-out windows with the last tokens of other text before each, which nothing is scored of.

        Raises:
            UserError: if the network cannot read so much at once.
        """
        if tokens + self.context > self.positions:
            raise UserError(
                f"data.shots: {tokens} tokens before {self.context} are more than the {self.positions} that this "
                f"backbone reads; at most {self.positions - self.context}"
            )
        return preceded(prepared, last_of(by, tokens))

    def levels(self, wanted: int) -> int:
        return 1

    def fixed(self, prepared: Rows, levels: int, seed: int) -> Rows:
        return fixed(prepared)

    def losses(self, rows: Rows) -> Tensor:
        rows = {name: value.to(self.device) for name, value in rows.items()}
        inputs = rows["tokens"][:, :-1]
        # none is needed, see ``windows``; but to find that out transformers looks at numbers, which a sketch has not
        mask = torch.empty(1, 1, self.context, self.context, device="meta") if self.device == "meta" else None
        return losses(self.network(input_ids=inputs, attention_mask=mask, use_cache=False).logits, rows)

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """By MiniLM, whatever the backbone: wishes of people with different models can then be compared."""
        return torch.cat([row.pooled for row in minilm().alone(texts)])

    def begin(self, prompt: str) -> list[int]:
        return [self.start, *self._tokens(prompt)]

    @torch.no_grad()
    def proceed(self, tokens: Tensor, past: Any = None) -> tuple[Tensor, Any]:
        out = self.network(input_ids=tokens.to(self.device), past_key_values=past, use_cache=True)
        return out.logits[:, -1].float().cpu(), out.past_key_values

    def text(self, tokens: Sequence[int]) -> str:
        words: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return words

    def sketch(self, checkpointing: bool, quantise: str = "none") -> LanguageModel | None:
        from transformers import AutoModelForCausalLM

        twin = copy.copy(self)
        bare: Any = self.network
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(bare.config, dtype=self.dtype)
        twin.device, twin.network = "meta", prepared_network(network, quantise, checkpointing)
        return twin

    def beside(self) -> None:
        return None

    def free(self) -> None:
        minilm().free()

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return found


def prepared_network(network: Any, quantise: str, checkpointing: bool) -> nn.Module:
    """The network, frozen, with its layers packed and its blocks computed twice where that is wanted."""
    network.eval().requires_grad_(False)
    if quantise in KINDS:
        pack(network, quantise, leave=[network.get_output_embeddings()])
        give_back_freed_memory()
    for block in blocks_of(network) if checkpointing else ():
        # not by transformers' own switch: that one works only while dropout does, and stops remembering when writing
        block.forward = functools.partial(_twice, block.forward)
    module: nn.Module = network
    return module


def _twice(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def settings_of(network: Any, tokenizer: Any) -> dict[str, Any]:
    """All that decides numbers beside the weights: the network's configuration and the whole vocabulary."""
    config = {k: v for k, v in network.config.to_dict().items() if k not in PASSING}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    marks = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return {"network": config, "vocabulary": hashlib.sha256(words.encode()).hexdigest(), "marks": marks}


def require_same_vocabulary(network: Any, tokenizer: Any, where: str) -> None:
    """Every token must have a row of the network's embedding.

    Raises:
        UserError: with both numbers, or where no token ends a text.
    """
    known, rows = max(tokenizer.get_vocab().values(), default=-1) + 1, network.get_input_embeddings().weight.shape[0]
    if known > rows:
        raise UserError(
            f"{where}: its tokenizer has {known:,} tokens, its network knows {rows:,}: they do not belong together"
        )
    if tokenizer.eos_token_id is None:
        raise UserError(f"{where}: its tokenizer has no end mark (eos_token), which closes every document")
