"""Sinks on real runs: a failing, a slow, a stuck and a missing one change nothing; real ones say what was told."""

import builtins
import json
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import load_file

from coterie.core.errors import UserError
from coterie.runs import forward
from coterie.runs.folder import RunFolder
from coterie.runs.forward import Message, Outlet
from coterie.runs.people import population_of
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import deciding, digest_of
from coterie.runs.run import resume, start
from coterie.runs.sink import SINKS, Opening

SMALL = [
    "backbone.name=untrained", "rounds=2", "form.fit.steps=1", "form.fit.batch=2", "form.keeping.steps=1",
    "pictures.steps=1", 'pictures.prompts=["cat"]', "evaluation.copies=0", "engine.width=2", "engine.workers=0",
    "data.partition=iid", "data.num_clients=3", "form.grouping.name=single", "method.targets=attention", "control={}",
    "evaluation.levels=4",
]  # fmt: skip
HEARD: list[tuple[str, int, dict[str, float]]] = []
SHOWN: list[tuple[str, tuple[int, ...]]] = []
HOLD = threading.Event()


@SINKS.register("listening")
@dataclass(frozen=True)
class Listening:
    pictures: bool = True
    folder: str = ""

    def open(self, opening):
        return self

    def scalars(self, values, step):
        HEARD.append((threading.current_thread().name, step, dict(values)))

    def picture(self, name, pixels, step):
        SHOWN.append((name, pixels.shape))

    def close(self):
        pass


@SINKS.register("failing")
@dataclass(frozen=True)
class Failing(Listening):
    at: str = "scalars"

    def open(self, opening):
        if self.at == "open":
            raise SystemExit("the tool ended the process")
        return self

    def scalars(self, values, step):
        if self.at == "scalars":
            raise RuntimeError("no such host\nwith a long story")

    def close(self):
        if self.at == "close":
            raise OSError("disk full")


@SINKS.register("slow")
@dataclass(frozen=True)
class Slow(Listening):
    def scalars(self, values, step):
        time.sleep(0.3)


@SINKS.register("stuck")
@dataclass(frozen=True)
class Stuck(Listening):
    def open(self, opening):
        HOLD.wait()
        return self


def small(*more):
    return read_recipe(None, [*SMALL, *more])


def numbers(path, results):
    files = sorted(path.glob("**/adapters/**/*.safetensors"))
    assert files
    found = {str(f.relative_to(path)): {k: v.tolist() for k, v in load_file(f).items()} for f in files}
    return found, {key: value for key, value in results.items() if key != "seconds"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "run"
    return path, start(small(), path)


@pytest.fixture
def heard():
    HEARD.clear()
    SHOWN.clear()
    return HEARD


@pytest.mark.parametrize(
    ("sink", "reason"),
    [
        ("{name='failing'}", "RuntimeError: no such host"),
        ("{name='failing',at='open'}", "SystemExit: the tool ended the process"),
        ("{name='failing',at='close'}", "OSError: disk full"),
        ("'slow'", ""),
        ("'stuck'", "it was still busy at the end; not all was passed on"),
        ("'mlflow'", "No module named 'mlflow'; pip install \"coterie[mlflow]\""),
    ],
)
def test_no_sink_changes_a_run(plain, tmp_path, monkeypatch, sink, reason):
    real = builtins.__import__

    def without_mlflow(name, *rest):
        if name.split(".")[0] == "mlflow":
            raise ModuleNotFoundError("No module named 'mlflow'", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_mlflow)
    monkeypatch.setattr(forward, "PATIENCE", 1.0)
    events = []
    recipe = small(f"sinks=[{sink}]")
    began = time.monotonic()
    results = start(recipe, tmp_path / "run", lambda event, **fields: events.append((event, fields)))
    assert time.monotonic() - began < 60
    assert numbers(tmp_path / "run", results) == numbers(*plain)
    failures = [fields for event, fields in events if event == "sink_failed"]
    assert [fields["reason"] for fields in failures] == ([reason] if reason else [])
    written = [e for e in RunFolder(tmp_path / "run").events() if e["event"] == "sink_failed"]
    assert len(written) == len(failures)


def test_a_sink_hears_every_round_once_and_the_end(plain, tmp_path, heard):
    path = tmp_path / "run"
    results = start(small('sinks=["listening"]'), path)
    assert {thread for thread, _, _ in heard} == {"sink listening"}
    assert [step for _, step, _ in heard] == [0, 1, 2, 3]
    done = [e for e in RunFolder(path).events() if e["event"] == "round_done"]
    for (_, _, values), event in zip(heard, done, strict=False):
        assert values["held_out/loss/mean"] == event["loss"]
        assert values["wire/up_bytes"] == event["up_bytes"]
        assert values["wire/down_bytes"] == event["down_bytes"]
    end = heard[-1][2]
    assert {name for name in end if name.startswith("person/")} == {
        f"person/{c}/{what}" for c in results["clients"] for what in ("bare", "served", "kept")
    }
    assert [name for name, _ in SHOWN] == ["pictures/rounds", "pictures/rounds", "pictures/end"]


def test_a_resumed_run_tells_no_round_twice(tmp_path, heard):
    path = tmp_path / "run"
    start(small('sinks=["listening"]'), path)
    (path / "server" / "results.json").unlink()
    sorted((path / "server" / "checkpoints").iterdir())[-1].unlink()  # the last round is played again
    resume(path)
    assert [step for _, step, _ in heard] == [0, 1, 2, 3]


def test_nothing_private_is_told(tmp_path, heard):
    """Nor a path: not in what is opened, not in the names of numbers."""
    openings = []

    @SINKS.register("curious")
    @dataclass(frozen=True)
    class Curious(Listening):
        def open(self, opening):
            openings.append(opening)
            return self

    recipe = small("sinks=curious", 'form.grouping.name="wishes"', 'data.partition="column"')
    start(recipe, tmp_path / "run")
    said = json.dumps([dict(openings[0].settings), openings[0].name, openings[0].key, [v for _, _, v in heard]])
    people = population_of(recipe, 16)
    captions = {c for one in people.clients.values() for c in one.train.captions + one.held_out.captions}
    wishes = {w for one in people.clients.values() for w in one.wishes.values()}
    assert not [word for word in captions | wishes | {str(tmp_path)} if len(word) > 8 and word in said]


def test_a_recipe_with_sinks_is_written_and_read_and_decides_the_same(tmp_path):
    bare, one = small(), small('sinks=[{name="tensorboard",folder="/elsewhere"},"wandb"]')
    assert digest_of(bare) == digest_of(one)
    assert "sinks" not in deciding(one)
    assert small("sinks=tensorboard").sinks == small('sinks=["tensorboard"]').sinks
    from coterie.runs.annotated import annotated_toml

    (tmp_path / "recipe.toml").write_text(annotated_toml(one))
    assert read_recipe(tmp_path / "recipe.toml") == one
    assert "# at W&B." in annotated_toml(one)
    assert tomllib.loads(annotated_toml(bare))["sinks"] == []


@pytest.mark.parametrize(
    ("sinks", "wanted"),
    [
        ('["tensorbord"]', "sinks.0.name: no sink is called 'tensorbord'; did you mean 'tensorboard'"),
        ('[{name="wandb",projct="x"}]', "sinks.0.projct: unknown key; did you mean 'project'"),
        ("3", "sinks: "),
        (
            '["wandb",{name="mlflow"},{name="wandb",project="x"}]',
            "sinks: wandb is there 2 times; wanted each tool once",
        ),
    ],
)
def test_a_wrong_sink_is_named(sinks, wanted):
    with pytest.raises(UserError) as caught:
        small(f"sinks={sinks}")
    assert wanted in str(caught.value)


def test_a_run_folder_from_before_sinks_still_resumes(plain, tmp_path):
    path = tmp_path / "older"
    shutil.copytree(plain[0], path)
    file = path / "server" / "recipe.toml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("sinks")))
    (path / "server" / "results.json").unlink()
    assert numbers(path, resume(path)) == numbers(*plain)


def test_a_full_queue_drops_and_counts(tmp_path):
    outlet = Outlet(Stuck(), Opening("run", "run-1", -1, tmp_path), room=2)
    began = time.monotonic()
    for step in range(5):
        outlet.put(Message(step, {}))
    assert not outlet.wait(time.monotonic() + 0.5)
    assert time.monotonic() - began < 5
    assert outlet.dropped == 3


def test_a_stuck_sink_does_not_keep_the_command_from_ending(tmp_path):
    code = f"""
import sys, threading
from coterie.__main__ import main
from coterie.runs import forward
from coterie.runs.sink import SINKS
from dataclasses import dataclass
@SINKS.register("stuck")
@dataclass(frozen=True)
class Stuck:
    pictures: bool = True
    def open(self, opening):
        threading.Event().wait()
forward.PATIENCE = 0.5
sets = {[*SMALL, "rounds=1", "sinks=stuck"]!r}
sys.argv = ["coterie", "run", "--out", {str(tmp_path / "run")!r}, *(w for s in sets for w in ("--set", s))]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "warning: stuck: it was still busy" in line]
    assert line.endswith("the run goes on as it is")
    assert (tmp_path / "run" / "server" / "report.html").is_file()


def opening(folder: Path, last: int = -1):
    return Opening("run", "run-1a2b", last, folder, {"form": "clustered", "rounds": 2})


def tell(log, steps):
    import numpy as np

    for step in steps:
        log.scalars({"held_out/loss/mean": 1 / (step + 1), "person/zoë/kept": 0.5}, step)
    log.picture("pictures/rounds", np.zeros((8, 8, 3), np.uint8), steps[-1])
    log.close()


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_back_what_was_told(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = SINKS.build("tensorboard")
    tell(sink.open(opening(tmp_path)), [0, 1, 2])
    tell(sink.open(opening(tmp_path, 1)), [2, 3])  # killed after step 1 was known to be told: 2 is taken back
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in found.Scalars("held_out/loss/mean")] == [0, 1, 2, 3]
    assert found.Images("pictures/rounds")


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_back_what_was_told(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    sink = SINKS.build({"name": "mlflow", "uri": uri})
    tell(sink.open(opening(tmp_path)), [0, 1])
    tell(sink.open(opening(tmp_path)), [2])
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("coterie").experiment_id])
    assert [m.step for m in client.get_metric_history(run.info.run_id, "held_out/loss/mean")] == [0, 1, 2]
    assert run.data.params == {"form": "clustered", "rounds": "2"}
    assert run.info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")
def test_trackio_reads_back_what_was_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    tell(SINKS.build("trackio").open(opening(tmp_path)), [0, 1])
    tell(SINKS.build("trackio").open(opening(tmp_path)), [2])
    logs = SQLiteStorage.get_logs("coterie", "run-1a2b")
    assert sorted({line["step"] for line in logs if "held_out/loss/mean" in line}) == [0, 1, 2]
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.enable_socket
def test_wandb_offline_leaves_a_file_to_sync(tmp_path):
    pytest.importorskip("wandb")
    tell(SINKS.build("wandb").open(opening(tmp_path)), [0, 1])
    (file,) = tmp_path.glob("wandb/offline-run-*/run-run-1a2b.wandb")
    assert b"held_out/loss/mean" in file.read_bytes()
    assert not list(tmp_path.glob("wandb/offline-run-*/files/wandb-metadata.json"))
