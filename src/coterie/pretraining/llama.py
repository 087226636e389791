"""The small language model: transformers' Llama (Touvron et al., 2023, arXiv:2302.13971), its embedding used twice."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SHARED = {"max_position_embeddings": 512, "tie_word_embeddings": True, "attn_implementation": "eager"}


def small_llama(width: int, layers: int, tokenizer: Any) -> Any:
    """A new network whose words are those of a tokenizer; heads are 64 wide.

    Args:
        width: of its states.
        layers: of it.
        tokenizer: with an end mark, which also begins.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    end = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers,
        intermediate_size=width * 8 // 3 // 32 * 32, num_attention_heads=max(1, width // 64),
        num_key_value_heads=max(1, width // 64), bos_token_id=end, eos_token_id=end, **SHARED,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def drop(network: Any, share: float) -> None:
    """Drops a share of numbers after the embedding and after every block, while the network trains.

    Llamas have no such layers of their own; books that are read many times need them.
    Source: Srivastava et al., JMLR 15, 2014.
    """
    blocks = [part for layer in network.model.layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    for part in (network.model.embed_tokens, *blocks):
        part.register_forward_hook(lambda layer, _, out: F.dropout(out, share, layer.training))


def optimisers_of(network: Any, rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices (Jordan et al., 2024), AdamW for everything else; norms do not decay."""
    named = list(network.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and ".layers." in name]
    words = [p for name, p in named if p.ndim == 2 and ".layers." not in name]
    norms: dict[str, Any] = {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0}
    how: Any = {"lr": rate, "weight_decay": decay}
    return [
        torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **how),
        torch.optim.AdamW([{"params": words}, norms], betas=(0.9, 0.95), fused=True, **how),
    ]


def window_loss(network: Any, windows: Tensor) -> Tensor:
    """Mean nats by token over windows ``(n, context + 1)``."""
    logits = network(input_ids=windows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())
