"""Language models in two places: both shapes, every kind of block, at every cut."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers

from coterie.bank.whole import bank_for
from coterie.bank.sides import mean_of, places
from coterie.core.errors import UserError
from coterie.core.work import Fit
from coterie.models.decoder_parts import DecoderParts
from coterie.models.methods.full import Full
from coterie.models.parts import portions_of
from coterie.models.targets import layout_of

sys.path.insert(0, str(Path(__file__).parents[1] / "bank"))
from test_sides import Played, noted, relative, started, whole_gradient  # noqa: E402

SHAPE = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 32, "sliding_window": 4,
}  # fmt: skip
