"""Whole runs on documents: fedavg, clustered and local, in one process and in workers, stopped and gone on with."""

import json
import math

import pytest
from safetensors.torch import load_file

from coterie.core.errors import UserError
from coterie.evals.copied_words import copies
from coterie.evals.perplexity import by_word
from coterie.runs.reading import read_recipe
from coterie.runs.run import resume, start

WISHES = {"ada": "sea stories", "bo": "sea stories of old men", "cy": "houses on a hill", "di": "a house and a hill"}


@pytest.fixture(scope="session")
def library(tmp_path_factory, sentences):
    """A folder of four people with six documents each."""
    root = tmp_path_factory.mktemp("library")
    for number, (name, wish) in enumerate(WISHES.items()):
        (root / name).mkdir()
        (root / name / "wish.txt").write_text(wish)
        for i, text in enumerate(sentences(number, 6)):
            (root / name / f"{i:02d}.txt").write_text(text + ".")
    return root


def recipe(models, library, *sets, kind="gpt2"):
    settings = [
        "control={}", "backbone.name=transformers_lm", f"backbone.path={models[kind]}", "backbone.context=16",
        "data.source.name=text_folder", f"data.source.path={library}", "data.column=client", "rounds=2",
        "form.fit.steps=2", "form.fit.batch=2", "form.fit.rate=0.01", "method.rank=2", "engine.width=2",
        "engine.workers=0", "engine.dtype=fp32", "texts.tokens=6", 'pictures.prompts=["the old", "she said"]',
        "pictures.hybrids=false", "evaluation.copies=2",
    ]  # fmt: skip
    return read_recipe(None, [*settings, *sets])


def adapters(path):
    files = sorted(path.glob("**/adapters/**/*.safetensors"))
    assert files
    return {str(f.relative_to(path)): {k: v.tolist() for k, v in load_file(f).items()} for f in files}


FORMS = {
    "fedavg": ["form.name=fedavg", "form.keeping.name=none"],
    "clustered": ["form.name=clustered", "form.grouping.name=wishes", "form.keeping.name=finetune",
                  "form.keeping.steps=1"],
    "local": ["form.name=local"],
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(models, library, tmp_path_factory):
    root = tmp_path_factory.mktemp("text-runs")
    return {
        form: (root / form, start(recipe(models, library, *sets, kind=kind), root / form))
        for (form, sets), kind in zip(FORMS.items(), ("gpt2", "llama", "gpt2"), strict=True)
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_run_teaches_and_writes(finished, form):
    path, results = finished[form]
    assert results["makes"] == "texts"
    assert set(results["clients"]) == set(WISHES)
    base = {s["client"]: s["loss"] for s in results["history"] if s["adapter"] == "base" and s["test"] == "own"}
    served = {s["client"]: s["loss"] for s in results["final"] if s["test"] == "own"}
    assert set(base) == set(served) == set(WISHES)
    assert all(served[c] < base[c] for c in WISHES)
    for client in WISHES:
        units = results["units"][client]["own"]
        assert 0 < units["words"] < units["tokens"] < units["characters"]
        assert math.isfinite(by_word(base[client], units))
        written = json.loads((path / "sites" / client / "texts" / "final.json").read_text())
        assert [one["prompt"] for one in written] == ["the old", "she said"]
        assert all(one["text"] for one in written)
        assert results["copies"][client]["pictures"] == 2
    assert all(len(s["levels"]) == 1 for s in results["history"])
    if form != "local":
        assert list((path / "server" / "texts" / "rounds" / "001").glob("*.json"))
        assert (path / "server" / "texts" / "base.json").is_file()


def test_nothing_private_lies_on_the_server(finished, library):
    for form, (path, _) in finished.items():
        texts = [file.read_text() for file in library.glob("*/*.txt")]
        runs = {" ".join(text.split()[i : i + 6]) for text in texts for i in range(len(text.split()) - 5)}
        for file in (path / "server").rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                assert not [run for run in runs if run.encode() in data], (form, file)


def test_workers_give_the_same_bits_and_texts(finished, models, library, tmp_path):
    path, results = finished["fedavg"]
    start(recipe(models, library, *FORMS["fedavg"], "engine.workers=2"), tmp_path / "run")
    assert adapters(tmp_path / "run") == adapters(path)
    again = json.loads((tmp_path / "run" / "server" / "results.json").read_text())
    for key in ("final", "history", "units", "copies", "clients"):
        assert again[key] == results[key]
    for file in sorted(path.glob("**/texts/**/*.json")):
        assert (tmp_path / "run" / file.relative_to(path)).read_text() == file.read_text()


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(finished, models, library, tmp_path):
    path, results = finished["clustered"]

    class Stop(Exception):
        pass

    def stopper(event, **fields):
        if event == "round_done" and fields["round"] == 1:
            raise Stop

    with pytest.raises(Stop):
        start(recipe(models, library, *FORMS["clustered"], kind="llama"), tmp_path / "run", stopper)
    again = resume(tmp_path / "run")
    assert adapters(tmp_path / "run") == adapters(path)
    assert again["units"] == results["units"]


def test_held_out_are_whole_documents(models, library):
    from coterie.runs.people import population_of

    people = population_of(recipe(models, library), 0)
    for name in WISHES:
        client = people.clients[name]
        assert len(client.train) + len(client.held_out) == 6
        assert not set(client.train.columns["document"]) & set(client.held_out.columns["document"])
        assert client.wishes == {"named": WISHES[name]}
    assert all("the old man" not in prompt for prompt in people.prompts)


def test_what_does_not_go_together_is_said_in_one_line(models, library, tmp_path):
    for sets, words in {
        ("backbone.name=doodle", ""): "text_folder holds documents, and the backbone doodle makes pictures",
        ("data.source.name=studio", ""): "studio holds pictures, and the backbone transformers_lm makes texts",
        ("data.flip=true", ""): "data.flip: is for pictures only",
        ("data.crop=buckets", ""): "data.crop: is for pictures only",
        ("data.prompt=wish", ""): "data.prompt: is for pictures only",
    }.items():
        with pytest.raises(UserError, match=words) as error:
            recipe(models, library, *[word for word in sets if word])
        assert "\n" not in str(error.value)


def test_copies_are_runs_of_words_longer_than_any_held_out():
    train = ["The cat sat on the mat, and the dog lay down by the door."]
    assert copies(["the dog lay down by the door"], ["a cat sat on a stone"], train) == (1, 0.5)
    assert copies(["a dog by a tree"], ["The cat sat on a stone"], train) == (0, 0.5)
    assert copies(["anything"], [], train)[0] == 0


def test_examples_before_every_window_change_what_is_foretold_and_not_what_is_counted(models, library, tmp_path):
    bare = ["form.name=local", "rounds=0", "pictures.people=false"]
    plain = start(recipe(models, library, *bare), tmp_path / "plain")
    shown = start(recipe(models, library, *bare, "data.shots=12"), tmp_path / "shown")
    assert plain["units"] == shown["units"]
    losses = [{s["client"]: s["loss"] for s in run["history"] if s["test"] == "own"} for run in (plain, shown)]
    assert losses[0].keys() == losses[1].keys() == WISHES.keys()
    assert all(losses[0][name] != losses[1][name] for name in WISHES)
    with pytest.raises(UserError, match=r"data.shots: \d+ tokens before 16 are more than the \d+ that this backbone"):
        start(recipe(models, library, *bare, "data.shots=4000"), tmp_path / "far")
    with pytest.raises(UserError, match=r"data.shots: is for documents only"):
        read_recipe(None, ["data.shots=3"])
