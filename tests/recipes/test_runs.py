"""Whole runs on a random network: from a recipe to a folder, in one process, in workers, and after kills."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib

import pytest
from safetensors.torch import load_file
from tests.recipes.commands import chance, killed
from tests.recipes.few import few

from coterie.core.errors import UserError
from coterie.engines.book import Book
from coterie.runs.folder import RunFolder
from coterie.runs.people import population_of
from coterie.runs.reading import control_of, read_recipe
from coterie.runs.run import resume, start
from coterie.wire.envelope import unpack

SMALL = [
    "backbone.name=untrained", "rounds=2", "form.fit.steps=2", "form.fit.batch=2", "form.keeping.name=ditto",
    "form.keeping.steps=1",
    "pictures.steps=1", 'pictures.prompts=["cat"]', "evaluation.copies=1", "engine.width=3", "engine.workers=0",
    "data.partition=iid", "data.num_clients=4", "data.source.name=studio", "form.grouping.name=single",
    "method.targets=attention", "evaluation.levels=4",
]  # fmt: skip


def small(*more):
    return read_recipe(None, [*SMALL, few(), "control={}", *more])


def adapters(path):
    files = sorted(path.glob("**/adapters/**/*.safetensors"))
    assert files
    return {str(f.relative_to(path)): {k: v.tolist() for k, v in load_file(f).items()} for f in files}


def without_times(results):
    return {key: value for key, value in results.items() if key != "seconds"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "one"
    return path, start(small(), path)


def test_a_run_leaves_both_halves_of_its_folder(finished):
    path, results = finished
    server = {p.name for p in (path / "server").iterdir()}
    assert {"recipe.toml", "environment.json", "journal.jsonl", "checkpoints", "adapters", "results.json"} <= server
    assert (
        {p.name for p in (path / "sites").iterdir()} == set(results["clients"]) == {f"client-{k}" for k in range(1, 5)}
    )
    for client in results["clients"]:
        site = path / "sites" / client
        assert (site / "pictures" / "final" / "00.png").is_file()
        assert (site / "adapters" / "personal" / "adapter_config.json").is_file()
    assert read_recipe(path / "server" / "recipe.toml").rounds == 2


def test_nothing_private_lies_on_the_server(finished):
    """No caption, no wish, no picture of a person and no personal adapter is anywhere below server/."""
    path, _ = finished
    recipe = read_recipe(path / "server" / "recipe.toml")
    people = population_of(recipe, 16)
    words = {caption for c in people.clients.values() for caption in c.train.captions + c.held_out.captions}
    long = {word for word in words if len(word) > 8 and word not in recipe.pictures.prompts}
    personal = [f.read_bytes() for f in path.glob("sites/*/adapters/personal/*.safetensors")]
    assert len(long) > 20
    assert len(personal) == 4
    for file in (path / "server").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not [word for word in long if word.encode() in data], file
            assert data not in personal
    for client in people.clients.values():
        for picture in client.train.pixels:
            assert not [f for f in (path / "server").rglob("*.safetensors") if picture.tobytes() in f.read_bytes()]


def test_the_adapters_open_in_peft_and_draw_the_same_numbers(finished):
    """algorithms 16.12: PEFT's own reading of the files against our bank."""
    import torch
    from peft import PeftModel

    from coterie.bank.bank import Bank
    from coterie.models.peft_files import read_peft

    path, _ = finished
    recipe = read_recipe(path / "server" / "recipe.toml")
    folder = path / "sites" / "client-1" / "adapters" / "personal"
    for targets in ("attention",):
        ours, theirs = (recipe.backbone.load(torch.float32, 24) for _ in range(2))
        adapter = read_peft(folder, ours.digest)
        bank = Bank(ours, recipe.method.layout(ours), 1)
        bank.bind_groups([((adapter, 1.0),)])
        theirs.network = PeftModel.from_pretrained(theirs.network, folder).eval()
        rows = ours.fixed(ours.prepare(*_example(ours)), 4, 0)
        assert targets == recipe.method.targets
        with torch.no_grad():
            assert torch.allclose(ours.losses(rows), theirs.losses(rows), rtol=1e-5)
            bank.release()
            assert not torch.allclose(ours.losses(rows), theirs.losses(rows), rtol=1e-5)
        bank.close()


def _example(model):
    import numpy as np

    return np.random.default_rng(0).integers(0, 255, (2, model.side, model.side, 3), dtype=np.uint8), ["a", "b"]


def test_workers_give_the_same_bits_and_bytes(finished, tmp_path):
    path, results = finished
    other = start(small("engine.workers=2"), tmp_path / "workers")
    assert without_times(other) == without_times(results)
    assert adapters(tmp_path / "workers") == adapters(path)
    for file in sorted(path.glob("sites/*/pictures/**/*.png")):
        assert (tmp_path / "workers" / file.relative_to(path)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "form",
    [
        ["form.name=fedavg", "form.keeping.name=finetune", "form.aggregator.name=product_svd"],
        ["form.grouping.name=weights", "form.keeping.name=none"],
        ["form.grouping={name='random',sizes=[3,1]}", "data.prompt=wish"],
        ["form.grouping.name=wishes", "cohort.share=0.5", "codec.name=raw", "data.partition=column"],
        ["form.grouping.name=both", "form.grouping.split.name=kmeans", "cohort.share=0.5", "data.partition=column"],
    ],
    ids=str,
)
def test_every_arm_of_the_study_runs_and_repeats(tmp_path, form):
    recipe = read_recipe(None, [*SMALL, "control={}", *form])
    one, other = start(recipe, tmp_path / "a"), start(recipe, tmp_path / "b")
    assert without_times(one) == without_times(other)
    assert all(score["loss"] > 0 for score in one["final"])


def test_local_over_one_pooled_client_is_central_training(tmp_path):
    sets = [s for s in SMALL if not s.startswith("form") and "num_clients" not in s and "partition" not in s]
    recipe = read_recipe(None, [*sets, "control={}", "form={name='local',fit={steps=2,batch=2}}", "data.pool=style"])
    results = start(recipe, tmp_path / "central")
    assert set(results["clients"]) == {"blueprint", "contrast", "neon", "pixel"}
    assert not [row for row in results["bytes"] if row[4] == "train" and row[6] > 20_000 and row[2] == "up"]


def test_a_finished_run_is_left_as_it_is(finished):
    path, results = finished
    before = (path / "server" / "journal.jsonl").read_text()
    assert without_times(resume(path)) == without_times(json.loads(json.dumps(results)))
    assert (path / "server" / "journal.jsonl").read_text() == before
    with pytest.raises(UserError, match="there is a run already"):
        start(small(), path)


def test_a_finished_run_stays_finished_when_a_later_version_adds_a_key(finished, tmp_path):
    path = tmp_path / "older"
    shutil.copytree(finished[0], path)
    results = json.loads((path / "server" / "results.json").read_text())
    del results["recipe"]["start"], results["recipe"]["cohort"]["sealed"]
    (path / "server" / "results.json").write_text(json.dumps(results))
    before = (path / "server" / "journal.jsonl").read_text()
    resume(path)
    assert (path / "server" / "journal.jsonl").read_text() == before


def test_a_control_runs_beside_and_shares_the_people(tmp_path):
    sets = [s for s in SMALL if s != "control={}"]
    recipe = read_recipe(None, [*sets, "control.form={name='fedavg'}", "rounds=1"])
    control = control_of(recipe)
    assert type(control.form).shelf_name == "fedavg"
    assert control.form.fit == recipe.form.fit
    start(recipe, tmp_path / "run")
    mine, other = (json.loads((tmp_path / p / "server/results.json").read_text()) for p in ("run", "run/control"))
    assert mine["clients"] == other["clients"]
    base = [[s for s in r["history"] if s["adapter"] == "base"] for r in (mine, other)]
    assert base[0] == base[1]


def test_the_bare_backbone_is_scored_once_and_again_where_its_rows_differ(tmp_path):
    def scored(sets, path, beside=None):
        results = start(small("rounds=1", *sets), path, beside=beside)
        downs = [row for row in results["bytes"] if "evaluate" in row and row[0] == 0]
        return [s for s in results["history"] if s["adapter"] == "base"], len(downs)

    first, sent = scored(["evaluation.levels=8"], tmp_path / "a")
    again, not_sent = scored(["evaluation.levels=8", "form.name=fedavg"], tmp_path / "b", tmp_path / "a")
    other, sent_too = scored(["evaluation.levels=8", "seed=1"], tmp_path / "c", tmp_path / "a")
    assert again == first
    assert other != first
    assert (sent > 0, not_sent, sent_too > 0) == (True, 0, True)


def test_who_is_told_the_wish_is_told_when_drawing_too(tmp_path):
    drawn = {}
    for prompt in ("caption", "wish"):
        sets = ["rounds=0", few(wishes=True), "form.name=local", "data.partition=column", f"data.prompt={prompt}"]
        start(small(*sets, "engine.tokens=32"), tmp_path / prompt)
        drawn[prompt] = (tmp_path / prompt / "sites/ada/pictures/final/00.png").read_bytes()
    assert drawn["caption"] != drawn["wish"]


def test_a_checkpoint_of_another_recipe_or_a_broken_one_is_told(tmp_path):
    path = tmp_path / "run"
    start(small("rounds=1"), path)
    (path / "server" / "results.json").unlink()
    newest = sorted((path / "server" / "checkpoints").iterdir())[-1]
    good = newest.read_bytes()
    newest.write_bytes(good[:-100])  # cut short: the one before it is used
    resume(path)
    (path / "server" / "results.json").unlink()
    for file in (path / "server" / "checkpoints").iterdir():
        file.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="no checkpoint can be read"):
        resume(path)
    for file in (path / "server" / "checkpoints").iterdir():
        file.unlink()
    newest.write_bytes(good)
    text = (path / "server" / "recipe.toml").read_text()
    (path / "server" / "recipe.toml").write_text(re.sub(r"(?m)^seed = 0", "seed = 1", text))
    with pytest.raises(UserError, match="the checkpoint belongs to recipe"):
        resume(path)


def test_kill_nine_at_ten_random_moments_costs_nothing(tmp_path):
    """The same run, killed ten times wherever it happens to be, ends in equal state, memories and adapters."""
    sets = ["rounds=9", "form.keeping.steps=1"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start(small(*sets), whole)
    kills, later = 0, chance(5, 0.5)
    arguments = [a for s in [*SMALL, few(), "control={}", *sets] for a in ("--set", s)]
    command = ["run", "--json", "--out", str(broken), *arguments]
    while kills < 10 and not (broken / "server" / "results.json").is_file():
        kills += killed(command, lambda line: '"round_started"' in line or '"finishing"' in line, later())
        if RunFolder(broken).exists:
            command = ["run", "--json", "--resume", str(broken)]
    resume(broken)
    assert kills >= 5
    assert adapters(broken) == adapters(whole)
    states = []
    for path in (whole, broken):
        newest = sorted((path / "server" / "checkpoints").iterdir())[-1]
        _, tree = unpack(newest.read_bytes())
        book = Book.from_plain(tree["book"])
        memories = {}
        for client, version in book.accepted.items():
            number, attempt = version.split(".")
            name = f"round-{int(number):04d}-attempt-{int(attempt):03d}.safetensors"
            memories[client] = unpack((path / "sites" / client / "memory" / name).read_bytes())[1]["personal"].digest
        clusters = {name: adapter.digest for name, adapter in tree["state"]["clusters"].items()}
        states.append((book.round, memories, clusters, [float(s["loss"].mean()) for s in book.scores]))
    assert states[0] == states[1]


def test_ctrl_c_in_the_middle_of_the_workers_work_says_one_line(tmp_path):
    sets = [*SMALL, few(), "control={}", "form.fit.steps=500", "engine.workers=2"]
    command = [sys.executable, "-m", "coterie", "run", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [*command, *(a for s in sets for a in ("--set", s))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    for line in process.stdout:
        if "enrolment" in line:
            break
    time.sleep(0.5)  # both workers are training
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines() == [
        f"error: stopped; finished rounds are saved, go on with: coterie run --resume {tmp_path / 'run'}"
    ]


def test_the_resolved_recipe_has_no_choice_left(finished):
    path, _ = finished
    plain = tomllib.loads((path / "server" / "recipe.toml").read_text())
    assert plain["engine"]["dtype"] in ("fp32", "bf16")
    assert plain["engine"]["width"] == 3
    assert plain["engine"]["tokens"] == 32
    assert "# " in (path / "server" / "recipe.toml").read_text()
