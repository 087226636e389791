"""A tiny model of every kind with random weights and a BPE vocabulary made here, as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

WORDS = (
    "the old man walked by the sea and the ship went far away in the night . she said that nothing was there , and he "
    "looked at the door for a long time . what a day ! where is my hat ? I have seen the house on the hill ."
)


def tokenizer(size: int = 300) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    plain.train_from_iterator([WORDS], trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|end|>")


def network(kind: str, size: int) -> Any:
    if kind == "gpt2":
        config: Any = transformers.GPT2Config(
            vocab_size=size, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
        )
        return transformers.GPT2LMHeadModel(config)
    shape = {
        "vocab_size": size, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
        "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    made = {"llama": ("LlamaConfig", "LlamaForCausalLM"), "mistral": ("MistralConfig", "MistralForCausalLM"),
            "qwen2": ("Qwen2Config", "Qwen2ForCausalLM")}[kind]  # fmt: skip
    return getattr(transformers, made[1])(getattr(transformers, made[0])(**shape))


KINDS = ("gpt2", "llama", "mistral", "qwen2")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for every kind."""
    root, made = tmp_path_factory.mktemp("models"), tokenizer()
    folders = {}
    for number, kind in enumerate(KINDS):
        torch.manual_seed(number)
        folders[kind] = root / kind
        net = network(kind, len(made) + 20)  # more rows than tokens, as many models have
        for parameter in net.parameters():  # sharper than random weights are, so that texts are not all noise
            parameter.data.mul_(1.5)
        net.save_pretrained(folders[kind])
        made.save_pretrained(folders[kind])
    return folders


@pytest.fixture(scope="session")
def load(models: dict[str, Path]) -> Any:
    """A backbone by kind and type, loaded anew each time."""
    from coterie.models.shelves import BACKBONES

    def make(kind: str, dtype: torch.dtype = torch.float32, context: int = 16) -> Any:
        settings = {"name": "transformers_lm", "path": str(models[kind]), "context": context}
        return BACKBONES.build(settings).load(dtype, 32)

    return make


@pytest.fixture(scope="session")
def sentences() -> Any:
    """Documents of a client by its number."""

    def make(client: int, n: int = 5) -> list[str]:
        words = WORDS.split()
        return [" ".join(words[(7 * client + 5 * i + k) % len(words)] for k in range(9 + 3 * i)) for i in range(n)]

    return make
