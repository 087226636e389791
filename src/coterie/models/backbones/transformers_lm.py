"""Transformers LM: a causal language model of the GPT-2 or Llama family as a backbone, from a folder or a hub id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Le

from coterie.core.errors import UserError
from coterie.core.hub import hub_is_away, is_id
from coterie.core.place import Place
from coterie.models.backbone import Makes
from coterie.models.language import LanguageModel
from coterie.models.packed import KINDS, require_extra
from coterie.models.pipeline_files import quiet
from coterie.models.shelves import BACKBONES

FAMILIES = ("gpt2", "llama", "mistral", "qwen2")
"""Kinds of networks by transformers' name; the last two are Llamas with other masks and biases."""


@BACKBONES.register("transformers_lm")
@dataclass(frozen=True)
class TransformersLm:
    """A language model of transformers: documents instead of pictures.

    Attributes:
        path: folder as ``save_pretrained`` writes it, with its tokenizer, or an id on the Hugging Face hub.
        revision: of a hub id: branch, tag or commit.
        context: tokens of an example; 0 is 128, or what the model has where that is less.
        checkpointing: ``on`` keeps only what enters each block of the network for the backward pass and computes the
            rest again: less memory, about a third more time; ``auto`` does so where memory asks for it.
        quantise: frozen linear layers of the network in 8 bits (``int8``) or 4 (``nf4``), by bitsandbytes, an extra;
            ``auto`` does so where memory asks for it. Adapters stay in float32 and belong to the same backbone.
    """

    embedded: ClassVar = False
    makes: ClassVar[Makes] = "texts"

    path: Annotated[str, Place(or_id=True)]
    revision: str = ""
    context: Annotated[int, Ge(0), Le(2**17)] = 0
    checkpointing: Literal["auto", "on", "off"] = "auto"
    quantise: Literal["auto", "none", "int8", "nf4"] = "auto"

    def load(self, dtype: torch.dtype, tokens: int, device: str = "cpu") -> LanguageModel:
        if self.quantise in KINDS:
            require_extra(f"backbone.quantise: {self.quantise}")
        network, tokenizer = opened(self.path, self.revision, dtype, device)
        return LanguageModel(
            network, tokenizer, dtype, device, self.context, f"backbone.path: {self.path}",
            self.checkpointing == "on", self.quantise,
        )  # fmt: skip


def opened(path: str, revision: str, dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    """Network and tokenizer; code that comes with a model is never run, nor are pickles opened.

    Raises:
        UserError: if there is no such model, it is of no known family, or it cannot be read.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder, where = Path(path), f"backbone.path: {path}"
    if not folder.is_dir() and (folder.exists() or not is_id(path)):
        what = "is a file; wanted a folder" if folder.exists() else "no such folder"
        raise UserError(f"{where}: {what} or an id of the hub, like owner/name")
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UserError(f"{where}: is a LoRA folder, not a model; name the model that it was trained on")
    if (folder / "model_index.json").is_file():
        raise UserError(f"{where}: is a pipeline for pictures; take backbone.name = 'pipeline'")
    away = not folder.is_dir() and hub_is_away()
    how: dict[str, Any] = {"revision": revision or None, "local_files_only": folder.is_dir() or away}
    try:
        with quiet():
            config = AutoConfig.from_pretrained(path, **how)
            if config.model_type not in FAMILIES:
                raise UserError(f"{where}: its kind is {config.model_type!r}; there are: {', '.join(FAMILIES)}")
            tokenizer = AutoTokenizer.from_pretrained(path, **how)
            # the fused kernel's backward pass is several times slower on a CPU in bfloat16
            network = AutoModelForCausalLM.from_pretrained(
                path, config=config, dtype=dtype, use_safetensors=True,
                attn_implementation="eager" if device == "cpu" else "sdpa", **how,
            )  # fmt: skip
    except UserError:
        raise
    except Exception as error:  # the hub, and readers of a dozen files, raise what they like
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{where}: not a language model that can be loaded: {said}") from None
    return network, tokenizer
