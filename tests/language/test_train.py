"""The one-person door for writers: folders of documents become adapters of a language model."""

import json
import shlex

import pytest

from coterie.data.partition import hold_out
from coterie.data.sources.text_folders import TextFolders
from coterie.runs.reading import read_recipe

SMALL = [
    "--steps", "2", "--batch", "2", "--rank", "2",
    *(word for item in ("engine.workers=0", "texts.tokens=4", "evaluation.copies=0", "backbone.context=16")
      for word in ("--set", item)),
]  # fmt: skip


@pytest.fixture
def folders(tmp_path, monkeypatch, sentences):
    """Two folders of four documents."""
    monkeypatch.chdir(tmp_path)
    for name in ("ann", "ben"):
        (tmp_path / name).mkdir()
        for i, text in enumerate(sentences(len(name), 4)):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} {text}")
    return tmp_path


def test_every_folder_becomes_an_adapter_and_the_last_line_takes_one_along(typed, models, folders):
    code, said, _ = typed("train", "ann", "ben", "--backbone", models["llama"], *SMALL, "--out", "run")
    assert code == 0
    assert "2 folders, 6 documents to learn from, 2 held out" in said
    command = shlex.split(said.splitlines()[-1].partition("elsewhere: ")[2])
    assert command == ["coterie", "export", "run", "ann", "--format", "peft", "--out", "ann-lora"]
    assert typed(*command[1:])[0] == 0
    assert (folders / "ann-lora" / "adapter_config.json").is_file()
    page = (folders / "run" / "server" / "report.html").read_text()
    assert "Two folders of documents became adapters of one frozen language model." in page
    results = json.loads((folders / "run" / "server" / "results.json").read_text())
    assert set(results["clients"]) == {"ann", "ben"}
    for name in ("ann", "ben"):  # each goes on from first words of its own, before and after, and they stay with it
        before, after = (
            json.loads((folders / "run" / "sites" / name / "texts" / f"{sheet}.json").read_text())
            for sheet in ("before", "final")
        )
        assert [one["prompt"] for one in before] == [one["prompt"] for one in after]
        assert all(one["prompt"].startswith(name) for one in after)
    assert not list((folders / "run" / "server").glob("texts/*.json"))


def test_the_recipe_that_is_written_says_the_same(typed, models, folders):
    words = ["new", "ann", "ben", "--backbone", models["gpt2"], "--set", "backbone.quantise=none", "--out", "mine.toml"]
    assert typed(*words)[0] == 0
    recipe = read_recipe(folders / "mine.toml")
    assert [path.name for path in recipe.data.source.paths] == ["ann", "ben"]
    assert (recipe.backbone.quantise, recipe.form.shelf_name) == ("none", "local")
    assert typed("data", "check", "mine.toml")[0] == 0


def test_a_backbone_that_is_set_by_its_keys_decides_what_the_folders_hold(typed, models, folders):
    words = ["--set", "backbone.name=transformers_lm", "--set", f"backbone.path={models['gpt2']}"]
    assert typed("new", "ann", *words)[0] == 0
    assert isinstance(read_recipe(folders / "recipe.toml").data.source, TextFolders)


def test_documents_keep_the_name_of_their_folder(folders):
    (folders / "ben" / "1.txt").write_bytes(b"\xff\xfe no text")
    (folders / "ben" / "wish.txt").write_text("storms\nat sea")
    table = TextFolders((folders / "ann", folders / "ben")).read()
    assert table.is_documents
    assert table.columns["client"] == ("ann",) * 4 + ("ben",) * 3
    assert table.columns["wish"] == ("",) * 4 + ("storms at sea",) * 3
    assert table.columns["document"] == tuple(f"ann/{i}.txt" for i in range(4)) + tuple(
        f"ben/{i}.txt" for i in (0, 2, 3)
    )
    assert [one.name for one in table.skipped] == ["ben/1.txt"]


def test_folders_beside_documents_are_told_and_splits_are_not(folders):
    for name in ("one", "two"):
        (folders / "ann" / name).mkdir()
        (folders / "ann" / name / "x.txt").write_text("the sea")
    (hint,) = TextFolders((folders / "ann", folders / "ben")).hints()
    assert "ann holds 2 folders of documents beside its own" in hint
    (folders / "parted" / "train").mkdir(parents=True)
    (folders / "parted" / "test").mkdir()
    for name in ("train", "test"):
        (folders / "parted" / name / "x.txt").write_text("the sea")
    parted = TextFolders((folders / "parted",))
    parted.require_one_each()
    assert parted.hints() == []


def test_what_lies_in_test_is_held_out_and_other_folders_share_out_their_own(folders):
    for name in ("train", "test"):
        (folders / "parted" / name).mkdir(parents=True)
        for i in range(3):
            (folders / "parted" / name / f"{i}.txt").write_text(f"{name} {i}")
    table = TextFolders((folders / "ann", folders / "parted")).read()
    train, held = hold_out(table, range(4, 10), 0.25, 0)
    assert {table.captions[i].split()[0] for i in train} == {"train"}
    assert {table.captions[i].split()[0] for i in held} == {"test"}
    assert [len(part) for part in hold_out(table, range(4), 0.25, 0)] == [3, 1]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["nobody"], "nobody: no such folder"),
        (["ann", "./ann"], "two folders are called 'ann'"),
        (["ann", "--trigger", "sks"], "--trigger sks: a word before captions is for pictures; documents have no"),
        (["ann", "--buckets"], "--buckets: is for pictures; documents have no shape"),
        (["."], ".: holds 2 folders of documents and none of its own; an adapter for each is made with: coterie train"),
        (["ann", "--set", "data.source.name=image_folder", "--set", "data.source.path=ann"], "pictures"),
    ],
)
def test_mistakes_are_one_line(typed, models, folders, words, wanted):
    code, _, error = typed("train", *words, "--backbone", models["llama"], *SMALL, "--out", "run")
    assert (code, error.strip().count("\n")) == (2, 0)
    assert wanted in error
    assert not (folders / "run").exists()
