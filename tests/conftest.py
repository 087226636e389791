"""What all tests share: quiet libraries, one thread, toy adapters, and a population small enough for seconds."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("ci")


@pytest.fixture
def layout():
    from coterie.core.adapter import Dense, Layout, LowRank

    parts = (LowRank("down.to_q", 6, 4, 2, 0.5), LowRank("conv", 5, 27, 2, 0.5, (3, 3)), Dense("norm.bias", (3,)))
    return Layout("abc123", parts)
