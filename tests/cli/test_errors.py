"""Every mistake typed by hand: one clear line, exit code 2, nothing lost."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SMALL = [
    "backbone.name=untrained", "rounds=1", "form.fit.steps=1", "form.fit.batch=2", "form.keeping.steps=1",
    "pictures.steps=1", 'pictures.prompts=["cat"]', "evaluation.copies=0", "engine.width=2", "engine.workers=0",
    "data.partition=iid", "data.num_clients=2", "form.grouping.name=single", "method.targets=attention", "control={}",
]  # fmt: skip


@pytest.fixture
def coterie(typed, monkeypatch, tmp_path):
    """Runs a command in an empty folder; returns its exit code, what it printed and what it complained."""

    def call(*words):
        monkeypatch.chdir(tmp_path)
        return typed(*words)

    return call


def sets(*items):
    return [word for item in items for word in ("--set", item)]


def complaint(result):
    code, _, err = result
    assert code == 2, err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("rum",), "error: no such command 'rum'"),
        (("run", "--ste", "a=1"), "error: no such option: --ste"),
        (("show",), "error: missing argument 'RUN'; see: coterie show --help"),
        (("generate", "x", "--prompt", "a", "-n", "0"), "error: invalid value for '-n': "),
        (("recipe", "shwo"), "error: no such command 'shwo'"),
    ],
)
def test_a_word_that_no_command_knows(coterie, words, wanted):
    assert complaint(coterie(*words)).lower().startswith(wanted.lower())


def test_no_word_at_all_is_answered_with_help(coterie):
    code, out, err = coterie()
    assert code == 2
    assert "Usage: coterie" in out + err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rounds = 3 4", "mine.toml: not TOML"),
        ("rouds = 3", "mine.toml: rouds: unknown key; did you mean 'rounds'?"),
        ("rounds = -1", "mine.toml: rounds: input should be greater than or equal to 0 (it is -1)"),
        ("rounds = 'many'", "mine.toml: rounds: "),
        ("[form]\nname = 'clusterd'", "mine.toml: form.name: no form is called 'clusterd'; did you mean 'clustered'?"),
        ("[form.fit]\nstepz = 3", "mine.toml: form.fit.stepz: unknown key; did you mean 'steps'?"),
        ("[form.grouping]\nname = 'wishes'\nfloor = 2.0", "mine.toml: form.grouping.split.floor: "),
        (
            "[form.grouping]\nfloor = 0.2\nsplit = { floor = 0.1 }",
            "form.grouping.floor: this is grouping.split.floor now",
        ),
        (
            "[form.grouping]\nsplit = 'kmean'",
            "form.grouping.split.name: no split is called 'kmean'; did you mean 'kmeans'?",
        ),
        ("[form.grouping]\nsplit = { clusters = -1 }", "mine.toml: form.grouping.split.clusters: "),
        ("[form.grouping]\nsplit = { name = 'hdbscan', clusters = 3 }", "form.grouping.split.clusters: unknown key"),
        (
            "[form.grouping]\nsplit = { clusters = 13 }",
            "form.grouping.split.clusters: 13 clusters cannot be made of 12",
        ),
        (
            "[data]\npartition = 'iid'",
            "data.wish: client-1 and 3 more have no wish, which form.grouping wishes compares",
        ),
        ("[data]\npool = 'all'", "data.pool: pooled pictures bring no wishes, which form.grouping wishes compares"),
        ("rounds = 0\n[form]\ngrouping = 'both'", "mine.toml: rounds: form.grouping both reads what training made"),
        ("[cohort]\nsealed = true\n[form]\ngrouping = 'both'", "cohort.sealed: form.grouping both reads single"),
        ("[data]\ncolum = 'x'", "mine.toml: data.colum: unknown key; did you mean 'column'?"),
        ("[data.source]\nname = 'parquett'", "mine.toml: data.source.name: no source is called 'parquett'"),
        ("[engine]\nmemory = 'lots'", "engine.memory: 'lots' is no size"),
        ("[engine]\nmemory = '10MB'\nworkers = 0\n[backbone]\nname = 'untrained'", "engine.memory: "),
        ("[method]\nrank = 0", "mine.toml: method.rank: "),
        ("[method]\nrank = 100000", "mine.toml: method.rank: "),
        ("seed = 99999999999999999999999", "mine.toml: seed: "),
        ("start = 'nowhere'", "start: nowhere: no adapter is here"),
        ("start = 'mine.toml'", "start: mine.toml: this is a file"),
        ("[cohort]\nsealed = true\n[form]\naggregator = 'ties'", "cohort.sealed: form.aggregator ties reads single"),
        ("[cohort]\nsealed = true\n[form]\ngrouping = 'weights'", "cohort.sealed: form.grouping weights reads single"),
        ("[data]\nsource = { name = 'parquet', path = 'none.parquet' }", "none.parquet"),
        ("[control]\nfrm = 3", "mine.toml: control.frm: unknown key; did you mean 'form'?"),
        ("[control]\nengine = { memory = 'lots' }", "mine.toml: control.engine.memory: 'lots' is no size"),
        (
            "[form]\nname = 'split_steps'\n[backbone]\nname = 'scribe'\n"
            "[data]\nsource = { name = 'text_folder', path = 'x' }",
            "mine.toml: form.name: split_steps buries pictures in noise, and the backbone scribe makes texts, which it",
        ),
        ("[form]\nname = 'split'\ncut = 5", "mine.toml: form.cut: 5 is outside the model, which has 3 blocks"),
        (
            "form = 'fedavg'\n[control.form]\nname = 'split'\ncut = 5",
            "mine.toml: control: form.cut: 5 is outside the model, which has 3 blocks",
        ),
        ("[form]\nname = 'ifca'\nclusters = 13", "mine.toml: form.clusters: 13 clusters cannot be made of 12 clients"),
        (
            "form = 'ifca'\n[cohort]\nshare = 0.1",
            "mine.toml: form.clusters: 4 clusters cannot be made of 2 clients in a round; lower it or raise cohort",
        ),
        (
            "[form]\nname = 'sequential'\norder = 'nearest'",
            "mine.toml: form.order: nearest asks how far clients are from each other",
        ),
        (
            "[form]\nname = 'sequential'\norder = { name = 'fixed', clients = ['aad'] }",
            "mine.toml: form.order.clients: there is no client called 'aad'; did you mean 'ada'?",
        ),
        (
            "[form]\nname = 'sequential'\norder = { name = 'fixed', clients = ['ada'] }",
            "mine.toml: form.order.clients: bo is left out",
        ),
        (
            "[form]\ngrouping = { name = 'given', groups = { north = ['ada'], south = [] } }",
            "mine.toml: form.grouping.groups: south is empty",
        ),
        (
            "[form]\ngrouping = { name = 'given', groups = { north = ['ada'] } }",
            "mine.toml: form.grouping.groups: bo is in none of them",
        ),
        (
            "[form]\ngrouping = { name = 'random', sizes = [3] }",
            "mine.toml: form.grouping.sizes: [3] add up to 3, not 12",
        ),
        (
            "[form]\ngrouping = 'oracle'\n[data]\npartition = 'iid'",
            "mine.toml: form.grouping: oracle needs labelled data, and client-1 has no label",
        ),
        ("[devices]\nsteps = { aad = 0.5 }", "mine.toml: devices.steps: there is no client called 'aad'"),
        ("[devices]\nreach = 5", "mine.toml: devices.reach: 5 metres say nothing where devices.area is 0"),
        (
            "[[changes]]\nround = 2\njoin = 'aad'",
            "mine.toml: changes: round 2: no client is called 'aad'; did you mean",
        ),
        (
            "form = 'fedavg'\n[control]\nchanges = [{ round = 2, leave = 'aad' }]",
            "mine.toml: control: changes: round 2: no client is called 'aad'; did you mean 'ada'?",
        ),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line(coterie, tmp_path, text, wanted):
    (tmp_path / "mine.toml").write_text(text)
    line = complaint(coterie("run", "mine.toml"))
    assert wanted in line
    assert line.startswith("error: mine.toml: ") or "parquet" in wanted
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_other_wrong_words(coterie, tmp_path):
    assert "nowhere.toml: no such recipe" in complaint(coterie("run", "nowhere.toml"))
    assert "wanted key=value" in complaint(coterie("run", "--set", "rounds"))
    assert "--set: rouns: unknown key" in complaint(coterie("run", "--set", "rouns=2"))
    assert "nowhere: not a run" in complaint(coterie("run", "--resume", "nowhere"))
    assert "takes no recipe" in complaint(coterie("run", "--resume", "nowhere", "--set", "rounds=2"))
    assert "nowhere: not a run" in complaint(coterie("show", "nowhere"))
    assert "runs: no such folder" in complaint(coterie("list"))
    assert "--format yaml: no such format" in complaint(coterie("list", tmp_path, "--format", "yaml"))
    assert "nowhere: not a run" in complaint(coterie("generate", "nowhere", "--prompt", "x"))


def test_a_run_does_not_begin_among_other_files(coterie, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.png").write_bytes(b"")
    assert "mine: this folder holds something else" in complaint(coterie("run", "--out", "mine", *sets(*SMALL)))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["holiday.png"]


def test_one_damaged_run_does_not_hide_the_others(coterie, tmp_path):
    for name in ("broken", "whole"):
        assert coterie("run", "--out", name, *sets(*SMALL))[0] == 0
    (tmp_path / "broken" / "server" / "recipe.toml").write_text("x = [")
    assert "recipe.toml: not TOML" in complaint(coterie("show", "broken"))
    code, out, _ = coterie("list", ".", "--format", "json")
    rows = {row["run"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["whole"]["state"] == "finished"
    assert "not TOML" in rows["broken"]["state"]
    for mix, wanted in (("cluster-0=nan", "a weight is between"), ("cluster-0=1,cluster-0=1", "every name once")):
        assert wanted in complaint(coterie("generate", "whole", "--prompt", "x", "--mix", mix))
    for number in ("", "-2"):
        code, out, _ = coterie("generate", "whole", "--prompt", "x", "-n", 1, "--steps", 1)
        assert (code, out.strip()) == (0, f"whole/generated/base{number}/sheet.png")


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    from datasets import Dataset

    from coterie.models.png import png_bytes

    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[16:48, 16:48] = (200, 40, 40)
    row = {"image": {"bytes": png_bytes(pixels), "path": None}, "name": "box", "group": "objects", "tags": []}
    path = tmp_path_factory.mktemp("drawings") / "boxes.parquet"
    Dataset.from_list([{**row, "codepoint": f"1f{i:03x}"} for i in range(40)]).to_parquet(path)
    return path


def test_wrong_words_to_pretrain(coterie, tmp_path, drawings):
    def wrong(*words):
        return complaint(coterie("pretrain", *words))

    (tmp_path / "file").write_text("")
    for processes in (1, 2):
        ask = ("--processes", processes, "--out", "x", "--drawings")
        assert "no.parquet: no such file; wanted a parquet file of drawings" in wrong(*ask, "no.parquet")
        assert "file: not a parquet file that can be read" in wrong(*ask, "file")
    assert "less than one step" in wrong("--out", "x", "--drawings", drawings, "--pictures", 3)
    assert "device 'tpu': no such device" in wrong("--out", "x", "--drawings", drawings, "--device", "tpu")
    assert not (tmp_path / "x").exists()
    for out in ("file", "file/x"):
        assert f"{out}: cannot be written: " in wrong("--out", out, "--drawings", drawings)


def test_pretraining_from_start_to_weights(coterie, tmp_path, drawings):
    from coterie.models.backbones.doodle import load_weights

    ask = ("pretrain", "--out", "doodle", "--drawings", drawings, "--pictures", 100, "--processes", 1)
    code, out, err = coterie(*ask)
    assert code == 0, err
    line, last = out.strip().splitlines()
    assert line.split()[:4] == ["64", "of", "100", "pictures"]
    assert line.endswith(" left")
    assert last == "64 pictures seen; weights: doodle/diffusion_pytorch_model.safetensors"
    assert load_weights(tmp_path / "doodle").config.sample_size == 32
    assert coterie(*ask) == (0, last + "\n", "")
    assert "doodle: was begun with seed 0, not 1" in complaint(coterie(*ask, "--seed", 1))


def test_pretraining_in_a_terminal_is_one_line(monkeypatch):
    from coterie.cli.pretraining_progress import LivePretraining, pretraining_listener

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with pretraining_listener(2000) as heard:
        assert isinstance(heard, LivePretraining)
        heard.progress(640, float("nan"))
        heard.progress(704, 0.25)
        (task,) = heard.bar.tasks
        assert task.description == "704 of 2,000 pictures"
        assert task.completed == 704
        assert task.fields["detail"].startswith("loss 0.250  ")
        heard.tell({"pictures": 704, "seconds": 1.0, "train": 0.25, "held_out": 0.3})
    assert "held" not in sys.stderr.getvalue()


def test_data_that_cannot_be_used(coterie, tmp_path):
    assert "nowhere" in complaint(coterie("data", "check", "nowhere"))
    (tmp_path / "empty").mkdir()
    assert "empty" in complaint(coterie("data", "check", "empty"))
    for person, count in (("ada", 3), ("bo", 1)):
        (tmp_path / "people" / person).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.full((20, 30, 3), 60 * i, np.uint8)).save(tmp_path / "people" / person / f"{i}.png")
            (tmp_path / "people" / person / f"{i}.txt").write_text(f"thing {i}")
    (tmp_path / "people" / "ada" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "people" / "ada" / "broken.txt").write_text("x")
    code, out, _ = coterie("data", "check", "people")
    assert code == 0
    assert "broken.png" in out
    code, out, _ = coterie("data", "check", "people", "--format", "json")
    assert json.loads(out)["num_pictures"] == 4
    (tmp_path / "mine.toml").write_text(
        "[data]\nsource = { name = 'image_folder', path = 'people' }\ncolumn = 'cliet'\n"
    )
    assert "no column 'cliet'; did you mean 'client'" in complaint(coterie("run", "mine.toml"))


def test_looking_at_pictures_before_a_run(coterie, tmp_path):
    for person, count in (("ada", 4), ("bo", 3)):
        (tmp_path / "people" / person).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(len(person) * 10 + i).integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "people" / person / f"{i}.png")
            if i:
                (tmp_path / "people" / person / f"{i}.txt").write_text(f"thing {i}")
    (tmp_path / "people" / "bo" / "2.txt").write_bytes(b"caf\xe9")
    (tmp_path / "people" / "cy").mkdir()
    code, out, _ = coterie("data", "check", "people", "--sheet", "sheet.png")
    assert code == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    for said in ("bo/2.png: 2.txt is not UTF-8 text", "cy: a folder without pictures", "hint: 2 without a caption"):
        assert said in out
    code, out, _ = coterie("data", "check", "people", "--caption", "a thing", "--format", "json")
    assert json.loads(out)["per_client"] == {"ada": 4, "bo": 2}
    recipe = "[data]\nsource = { name = 'image_folder', path = 'people', caption = 'a thing' }\ncolumn = 'client'\n"
    (tmp_path / "mine.toml").write_text(recipe + "flip = true\n")
    code, out, err = coterie("data", "check", "mine.toml", "--set", "data.held_out=0.3", "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert found["per_client"] == {"ada": 7, "bo": 3}  # every picture to learn from counts twice
    assert found["held_out_per_client"] == {"ada": 1, "bo": 1}
    assert len(found["skipped"]) == 2
    assert "change them with --set" in complaint(coterie("data", "check", "mine.toml", "--caption", "x"))
    assert "--set changes a recipe" in complaint(coterie("data", "check", "people", "--set", "rounds=1"))
    assert "did you mean 'client'" in complaint(coterie("data", "check", "people", "--column", "cliet"))
    assert "hub" in complaint(coterie("data", "check", "nobody/no-such-set"))


def test_looking_at_a_data_set(coterie, tmp_path):
    from datasets import Dataset
    from datasets import Image as Feature

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    rows = [{"image": {"bytes": buffer.getvalue(), "path": None}, "text": "a cup", "artist": name} for name in "ab"]
    Dataset.from_list(rows).cast_column("image", Feature()).save_to_disk(tmp_path / "saved")
    code, out, err = coterie("data", "check", "saved", "--column", "artist", "--format", "json")
    assert code == 0, err
    assert json.loads(out)["per_client"] == {"a": 1, "b": 1}


def test_a_client_whose_name_leads_out_of_the_run(coterie, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    rows = [{"image": buffer.getvalue(), "caption": f"cup {i}", "person": "../../me"} for i in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    (tmp_path / "mine.toml").write_text("[data.source]\nname = 'parquet'\npath = 'p.parquet'\n")
    line = complaint(coterie("run", "mine.toml"))
    assert "data.column: '../../me' cannot name a client" in line


def test_a_folder_that_cannot_be_used(coterie, tmp_path):
    (tmp_path / "file").write_text("")
    line = complaint(coterie("run", "--out", "file/run", *sets(*SMALL)))
    assert "a file is where a folder should be" in line or "cannot be written" in line


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from coterie.runs.reading import read_recipe
    from coterie.runs.run import start

    path = tmp_path_factory.mktemp("cli") / "run"
    start(read_recipe(None, SMALL), path)
    return path


def test_a_run_can_be_looked_at(coterie, finished):
    code, out, _ = coterie("list", finished.parent)
    assert code == 0
    assert "finished" in out
    shown = json.loads(coterie("show", finished, "--format", "json")[1])
    assert {row["person"] for row in shown["people"]} == {"client-1", "client-2"}
    assert "client-1" in coterie("show", finished)[1]
    rows = json.loads(coterie("adapters", finished, "--format", "json")[1])
    assert {row["name"]: row["kind"] for row in rows} == {
        "cluster-0": "server", "client-1": "personal", "client-2": "personal",
    }  # fmt: skip
    assert "enrolment is round 0" in coterie("recipe", "show")[1]


@pytest.mark.parametrize(
    "which", [[], ["--client", "client-1"], ["--cluster", "cluster-0"], ["--mix", "cluster-0=0.6,client-2=0.4"]]
)
def test_pictures_say_where_they_come_from(coterie, finished, tmp_path, which):
    code, out, err = coterie(
        "generate", finished, "--prompt", "secret words", "-n", 2, "--steps", 2, "--out", "p", *which
    )
    assert code == 0, err
    assert Path(out.strip()).name == "sheet.png"
    picture = Image.open(tmp_path / "p" / "seed-0001.png")
    notes = picture.text
    assert notes["coterie:seed"] == "1"
    assert len(notes["coterie:backbone"]) == 12
    assert ("none" in notes["coterie:adapters"]) == (not which)
    assert not [f for f in (tmp_path / "p").iterdir() if b"secret" in f.read_bytes()]


def test_wrong_words_to_generate(coterie, finished):
    ask = ("generate", finished, "--prompt", "x", "--steps", 1, "-n", 1)
    assert "no adapter is called 'client-9'; did you mean 'client-" in complaint(coterie(*ask, "--client", "client-9"))
    assert "give only one of" in complaint(coterie(*ask, "--client", "client-1", "--cluster", "cluster-0"))
    for nothing in ("", "  "):
        assert "--prompt: it is empty" in complaint(coterie("generate", finished, "--prompt", nothing))
    assert "is no name=weight" in complaint(coterie(*ask, "--mix", "client-1=much"))
    for size, said in (
        ("large", "'large' is no width and height in pixels, like 512x768"),
        ("64x9000", "64x9000: at most 4096 pixels a side"),
        ("64x32", "64x32: this model draws squares of 16x16 only"),
    ):
        assert said in complaint(coterie(*ask, "--bare", "--size", size))
    assert coterie(*ask, "--bare", "--size", "16X16")[0] == 0


def test_an_adapter_of_another_backbone_or_a_broken_one(coterie, finished, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    recipe = copy / "server" / "recipe.toml"
    ask = ("generate", copy, "--prompt", "x", "--steps", 1, "-n", 1, "--client", "client-1")
    text = recipe.read_text()
    head, _, tail = text.partition("[backbone]")
    recipe.write_text(head + "[backbone]" + tail.replace("seed = 0", "seed = 1", 1))
    assert "the adapter belongs to another backbone: its digest is" in complaint(coterie(*ask))
    said = complaint(coterie("verify", copy, "client-1"))
    assert said.endswith(f"of a run this is the backbone that {recipe} names")
    recipe.write_text(text)
    weights = copy / "sites" / "client-1" / "adapters" / "personal" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert "not a safetensors file that can be read" in complaint(coterie(*ask))


def test_help_is_instant_and_nothing_heavy_is_loaded_for_it():
    heavy = "('torch', 'diffusers', 'numpy')"
    code = f"import sys; from coterie.cli.app import app; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "coterie", "--help"], capture_output=True, check=True)
    assert time.monotonic() - began < 5  # loosely: it is measured in docs/benchmarks.md


def test_events_as_json(coterie, tmp_path):
    code, out, err = coterie("run", "--json", "--out", "r", *sets(*SMALL))
    assert code == 0, err
    events = [json.loads(line) for line in out.strip().splitlines()]
    assert [e["event"] for e in events][:4] == ["people", "started", "round_started", "round_done"]
    assert events[-1]["event"] == "report"
    assert (tmp_path / "r" / "server" / "report.html").is_file()
