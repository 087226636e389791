"""What a recipe comes down to on this machine."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from coterie.core.mixed import computes_in_bf16
from coterie.runs.people import population_of
from coterie.runs.reading import read_recipe
from coterie.runs.resolve import resolve


@pytest.mark.parametrize(
    ("share", "workers", "width"),
    [(1.0, 0, 6), (0.1, 0, 5), (0.1, 2, 5), (0.03, 0, 3), (0.01, 0, 1)],
    ids=["everybody, six at once", "ten, in two passes", "ten, five a worker", "three", "one"],
)
def test_the_bank_is_as_wide_as_a_rounds_cohort_needs(share, workers, width):
    sets = ["backbone.name=untrained", f"cohort.share={share}", f"engine.workers={workers}", "form.fit.batch=1"]
    resolved, plan = resolve(read_recipe(None, sets), 100)
    assert resolved.engine.width == plan.width == width


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [(1, "3GB", 0), (2, "3GB", 2), (4, "3GB", 2), (64, "3GB", 2), (64, "8GB", 6), (8, "100GB", 8), (64, "1600MB", 0)],
)
def test_there_are_as_many_workers_as_cores_clients_and_memory_allow(monkeypatch, cores, memory, workers):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    sets = ["backbone.name=untrained", f"engine.memory={memory}", "form.fit.batch=1"]
    resolved, _ = resolve(read_recipe(None, sets), 12)
    assert resolved.engine.workers == workers
    assert resolve(read_recipe(None, sets), 3)[0].engine.workers == min(workers, 3)


def test_an_embedded_backbone_computes_on_the_processor_where_there_is_a_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    for device in ("auto", "cuda"):
        sets = ["backbone.name=untrained", f"engine.device={device}", "form.fit.batch=1", "engine.width=1"]
        engine = resolve(read_recipe(None, sets), 1)[0].engine
        assert engine.device == "cpu"
        assert engine.dtype == ("bf16" if computes_in_bf16("cpu") else "fp32")


def test_wishes_of_other_kinds_are_read_from_columns_of_their_own(tmp_path):
    for client in ("ann", "ben"):
        (tmp_path / client).mkdir()
        Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / client / "a.png")
    rows = [
        {"file_name": "ann/a.png", "text": "x", "wish": "neon", "wish_named": "old", "wish_purpose": "for my bar"},
        {"file_name": "ben/a.png", "text": "y", "wish": "", "wish_purpose": ""},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = f"data.source={{name='image_folder',path='{tmp_path}'}}"
    recipe = read_recipe(None, [source, "data.column=client", "data.held_out=0"])
    clients = population_of(recipe, 8).clients
    assert clients["ann"].wishes == {"named": "neon", "purpose": "for my bar"}
    assert clients["ben"].wishes == {}
