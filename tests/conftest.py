"""What all tests share: quiet libraries, one thread, toy adapters, a population of seconds, and commands as typed."""

from __future__ import annotations

import os
import sys

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


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """What a process has written outlives its death also where nobody waits for the disk; no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture
def layout():
    from coterie.core.adapter import Dense, Layout, LowRank

    parts = (LowRank("down.to_q", 6, 4, 2, 0.5), LowRank("conv", 5, 27, 2, 0.5, (3, 3)), Dense("norm.bias", (3,)))
    return Layout("abc123", parts)


@pytest.fixture(scope="session")
def tiny():
    """Settings of a run of seconds: three people, one step, one picture, a backbone of random weights."""
    return (
        "backbone.name=untrained", "rounds=1", "form.fit.steps=1", "form.fit.batch=2", "form.keeping.steps=1",
        "pictures.steps=1", 'pictures.prompts=["cat"]', "evaluation.copies=0", "engine.width=2", "engine.workers=0",
        "data.partition=iid", "data.num_clients=3", "form.grouping.name=single", "method.targets=attention",
        "control={}", "evaluation.levels=4",
    )  # fmt: skip


@pytest.fixture
def typed(monkeypatch, capsys):
    """Calls a command as a person types it; returns its exit code, what it printed and what it complained."""
    from coterie.__main__ import main

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["coterie", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
