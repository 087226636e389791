"""Scribe: the language model inside the package, a Llama of 3.4 million parameters with a vocabulary of its own.

Made by ``coterie pretrain --books`` from books in the public domain (see ``assets/scribe/CARD.md``); some authors it
has never read, so that people can bring them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le

from coterie.models.backbone import Makes
from coterie.models.backbones.transformers_lm import opened
from coterie.models.language import LanguageModel
from coterie.models.shelves import BACKBONES


@BACKBONES.register("scribe")
@dataclass(frozen=True)
class Scribe:
    """The language model that comes with the package: documents instead of pictures.

    Attributes:
        context: tokens of an example; 0 is 128.
    """

    embedded: ClassVar = True
    libraries: ClassVar = ("transformers.models.llama.modeling_llama",)
    makes: ClassVar[Makes] = "texts"

    context: Annotated[int, Ge(0), Le(512)] = 0

    def load(self, dtype: torch.dtype, tokens: int, device: str = "cpu") -> LanguageModel:
        network, tokenizer = opened(str(weights_folder()), "", dtype, "cpu")
        return LanguageModel(network, tokenizer, dtype, "cpu", self.context, "scribe")


def weights_folder() -> Path:
    """The folder of the package's weights and vocabulary, as transformers saves them."""
    return Path(str(files("coterie.models"))) / "assets" / "scribe"
