"""The forms on a random network: the same bits in one process and in workers, whole runs with real training."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.recipes.few import few

from coterie.core.errors import UserError
from coterie.models.backbones.untrained import Untrained
from coterie.models.parts import portions_of
from coterie.runs.reading import read_recipe
from coterie.runs.run import start

SMALL = [
    "backbone.name=untrained", "rounds=2", "pictures.steps=1", 'pictures.prompts=["cat"]', "evaluation.copies=0",
    "engine.width=3", "data.partition=iid", "data.num_clients=4", "method.targets=attention", "evaluation.levels=4",
    "control={}",
]  # fmt: skip
FORMS = {
    "sequential": ["form.name=sequential", "form.order.name=shortest", "form.forgetting=hop", "form.keeping.name=ditto",
                   "form.keeping.steps=1", "devices.area=100", "devices.lost=0.3"],
    "hierarchical": ["form.name=hierarchical", "form.aggregator.name=product_svd",
                     "form.grouping={name='given',groups={a=['client-1'],b=['client-2','client-3','client-4']}}"],
    "scaffold": ["form.name=scaffold", "form.fit.optimiser=sgd", "form.fit.rate=0.3", "cohort.sealed=true",
                 "form.keeping.name=finetune", "form.keeping.steps=1"],
    "split_steps": ["form.name=split_steps", "form.server_steps=2", "form.captions=true"],
    "split": ["form.name=split", "form.keeping.name=finetune", "form.keeping.steps=1"],
    "copies": ["form.name=split", "form.server=copies", "method.targets=all", "method.rank=2"],
    "full": ["form.name=sequential", "method.name=full", "form.keeping.name=ditto", "form.keeping.steps=1",
             "form.fit.rate=1e-4"],
}  # fmt: skip
FIT = ["form.fit.steps=2", "form.fit.batch=2"]


def files(path):
    found = {str(f.relative_to(path)): load_file(f) for f in sorted(path.glob("**/adapters/**/*.safetensors"))}
    assert found
    return {name: {key: value.tolist() for key, value in tensors.items()} for name, tensors in found.items()}


def numbers(path):
    lines = (path / "server" / "journal.jsonl").read_text().splitlines()
    return [e["numbers"] for e in map(json.loads, lines) if e["event"] == "round_done" and e["round"]]


@pytest.mark.parametrize("form", FORMS)
def test_workers_give_the_same_bits_and_bytes(form, tmp_path):
    results = {}
    for name, workers in (("one", 0), ("two", 2)):
        recipe = read_recipe(None, [*SMALL, few(), *FORMS[form], *FIT, f"engine.workers={workers}"])
        results[name] = start(recipe, tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")
    for key in ("bytes", "final", "history", "failures"):
        assert results["one"][key] == results["two"][key], key
    assert not results["one"]["failures"]


def test_one_client_of_a_split_model_is_local_training(tmp_path):
    """algorithms 16.5, to the bit: same draws, and nothing clips, for each side knows its own gradient only."""
    alone = ["data.num_clients=1", "engine.width=1", "codec.name=raw", "form.fit.clip=0", "method.targets=all",
             "method.rank=2", "form.fit.steps=6", "form.fit.batch=2", "engine.dtype=fp32"]  # fmt: skip
    kept = {}
    for name, more in (("split", []), ("copies", ["form.server=copies"]), ("fedavg", [])):
        shelf = "fedavg" if name == "fedavg" else "split"
        recipe = read_recipe(None, [*SMALL, f"form.name={shelf}", *more, *alone, "form.keeping.name=none"])
        results = start(recipe, tmp_path / name)
        kept[name] = files(tmp_path / name)
        if shelf == "split":  # algorithms 6.5, with levels, captions and their masks
            sent = sum(row[6] for row in results["bytes"] if row[4] == "train")
            step = 2 * 4 * (2 * 8 * 8 * 8 + 2 * 16 * 16 * 16 + 32 + 32 * 384 + 32)
            messages = sum(row[7] for row in results["bytes"] if row[4] == "train")
            assert messages == 2 * 2 * (1 + 2 * 6)
            backbone = Untrained().load(torch.float32, 32)
            part = portions_of(backbone.layout(2, 2.0, "all"), backbone.parts(1, "u")).client.size
            assert 0 < sent - 2 * 6 * step - 2 * 2 * 4 * part < 1500 * messages
    assert kept["split"] == kept["copies"] == kept["fedavg"]


def test_a_copy_for_each_client_is_federated_averaging(tmp_path):
    """SplitFed v1: the two averages are that of the whole."""
    alone = ["engine.width=1", "codec.name=raw", "form.fit.clip=0", "method.targets=all", "method.rank=2", *FIT]
    found = {}
    for name, more in (("split", ["form.server=copies"]), ("fedavg", [])):
        recipe = read_recipe(None, [*SMALL, f"form.name={name}", *more, *alone, "form.keeping.name=none"])
        start(recipe, tmp_path / name)
        found[name] = load_file(tmp_path / name / "server" / "adapters" / "global" / "adapter_model.safetensors")
    for key, value in found["fedavg"].items():
        assert torch.allclose(found["split"][key], value, atol=1e-6), key


def test_a_cut_outside_the_model_ends_before_it_began(tmp_path):
    recipe = read_recipe(None, [*SMALL, "form.name=split", "form.cut=2", *FIT])
    with pytest.raises(UserError, match=r"^form.cut: 2 is outside the model, which has 2 blocks .*; wanted 1 to 1$"):
        start(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
