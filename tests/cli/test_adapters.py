"""The list of adapters, also of a run in which some files are damaged."""

import json
import shutil

import pytest


@pytest.fixture
def run(tiny_runs, tmp_path):
    shutil.copytree(tiny_runs / "first", tmp_path / "run")
    return tmp_path / "run"


def test_a_damaged_file_is_one_row_that_says_so(typed, run):
    code, whole, _ = typed("adapters", run)
    assert code == 0
    assert "problem" not in whole
    kept = run / "sites" / "client-2" / "adapters" / "personal"
    weights = kept / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    code, said, _ = typed("adapters", run)
    assert code == 0
    head, *lines = said.splitlines()
    assert head.endswith("problem")
    told = {line.split()[0]: line for line in lines}
    assert set(told) == {"cluster-0", "client-1", "client-2", "client-3"}
    assert "not a safetensors file that can be read" in told["client-2"]
    assert sum("not a safetensors file" in line for line in lines) == 1
    rows = {row["name"]: row for row in json.loads(typed("adapters", run, "--format", "json")[1])}
    assert rows["client-2"]["digest"] is None
    assert rows["client-1"]["problem"] is None
    (kept / "adapter_config.json").unlink()
    assert "no adapter is here" in typed("adapters", run)[1]


def test_a_client_whose_id_has_a_slash_is_listed_too(typed, run):
    (run / "sites" / "north").mkdir()
    (run / "sites" / "client-3").rename(run / "sites" / "north" / "ann")
    rows = json.loads(typed("adapters", run, "--format", "json")[1])
    assert [row["name"] for row in rows] == ["cluster-0", "client-1", "client-2", "north/ann"]


def test_where_none_can_be_read_the_command_fails_after_the_list(typed, run):
    for config in run.rglob("adapter_config.json"):
        config.write_text("{")
    code, said, error = typed("adapters", run)
    assert code == 2
    assert len(said.splitlines()) == 5
    assert error == f"error: {run}: none of its 4 adapters can be read\n"
