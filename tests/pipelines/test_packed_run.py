"""A whole run over packed weights says so wherever it is looked at later, and its adapters are everybody's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coterie.cli.words import sentence
from coterie.core.errors import UserError
from coterie.report.page import memory_used
from coterie.report.read import read_run
from coterie.report.words import size
from coterie.runs import resolve as resolving
from coterie.runs.reading import read_recipe
from coterie.runs.run import start
from coterie.runs.verify import verify

TINY = (
    "backbone.name=pipeline", "rounds=1", "form.name=local", "form.fit.steps=1", "form.fit.batch=2", "pictures.steps=1",
    'pictures.prompts=["cat"]', "evaluation.copies=0", "engine.workers=0", "engine.device=cpu", "data.partition=iid",
    "data.num_clients=2", "method.targets=attention", "evaluation.levels=4", "engine.dtype=fp32", "control={}",
)  # fmt: skip


def recipe_of(folder: Path, *more: str) -> Any:
    return read_recipe(None, [*TINY, f"backbone.path={folder}", *more])


def test_a_run_says_what_its_weights_were(saved: dict[str, Path], tmp_path: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    recipe = recipe_of(saved["stable_diffusion"], "backbone.quantise=int8", "engine.moments=8bit")
    results = start(recipe, tmp_path / "run", lambda event, **fields: told.append((event, fields)))
    (planned,) = [fields for event, fields in told if event == "planned"]
    assert (planned["quantise"], planned["moments"]) == ("int8", "8bit")
    assert "moments in 8 bits, frozen weights in int8: " in sentence("planned", planned)
    assert set(planned["phases"]) == {"training", "scoring", "drawing", "encoding", "loading"}
    assert planned["peak"] == max(planned["phases"].values()) == planned["phases"][planned["phase"]]
    assert (results["recipe"]["backbone"]["quantise"], results["recipe"]["engine"]["moments"]) == ("int8", "8bit")
    server = tmp_path / "run" / "server"
    journal = [json.loads(line) for line in (server / "journal.jsonl").read_text().splitlines()]
    (kept,) = [event for event in journal if event["event"] == "planned"]
    assert (kept["peak"], kept["phase"]) == (planned["peak"], planned["phase"])
    said = memory_used(read_run(tmp_path / "run")[0])
    assert said.startswith(f"{size(planned['peak'])} predicted ({planned['phase']}), 3GB allowed, ")
    assert "bitsandbytes" in json.loads((server / "environment.json").read_text())["packages"]
    assert 'quantise = "int8"' in (server / "recipe.toml").read_text()
    effect, checks = verify(tmp_path / "run", next(iter(results["clients"])))
    assert effect > 0
    assert all(check.passed for check in checks)


def test_where_memory_is_plenty_nothing_is_rounded(saved: dict[str, Path]) -> None:
    resolved, plan = resolving.resolve(recipe_of(saved["stable_diffusion"]), 2)
    assert plan is not None
    assert (resolved.backbone.quantise, resolved.engine.moments) == ("none", "fp32")


def test_without_the_extra_nothing_is_rounded_and_a_lack_of_memory_names_it(
    saved: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "installed", lambda: False)
    recipe = recipe_of(saved["stable_diffusion"], "engine.memory=551MB")
    assert {(way.quantise, way.moments) for way in resolving.ways_of(recipe)} == {("none", "fp32")}
    with pytest.raises(UserError, match=r'frozen weights in 8 or 4 bits need less: pip install "coterie\[quantise\]"$'):
        resolving.resolve(recipe, 2)
