"""The one-person door: folders become adapters, a recipe of it can be written, mistakes are one line."""

import json
import re
import shlex
import shutil
import tomllib

import numpy as np
import pytest
from PIL import Image

from coterie.core.errors import Halted, UserError
from coterie.data.sources.folders import Folders
from coterie.engines.exchanges import QuorumLost
from coterie.models.peft_files import read_peft
from coterie.runs.folder import RunFolder
from coterie.runs.reading import read_recipe
from coterie.runs.run import nothing_left_of_mistakes

TINY = [
    "--backbone", "untrained", "--steps", "2", "--batch", "2", "--rank", "2",
    *(word for item in ("engine.workers=0", "pictures.steps=1", "evaluation.copies=0", "evaluation.levels=4",
                        "method.targets=attention") for word in ("--set", item)),
]  # fmt: skip


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders of four pictures; those of ``ben`` have no captions."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("ann", "ben"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / name / f"{i}.png")
            if name == "ann":
                (tmp_path / name / f"{i}.txt").write_text(f"thing {i}")
    return tmp_path


def test_every_folder_becomes_an_adapter_that_moved(typed, folders):
    code, said, _ = typed("train", "ann", "ben", "--trigger", "ben=zwx", *TINY, "--out", "run")
    assert code == 0
    assert "report: run/server/report.html" in said
    told = [line.split("  ")[1].split(":")[0].split(" in ")[0] for line in said.splitlines()]
    assert told[-5:] == ["round 2", "finishing", "done", "report", "to use an adapter elsewhere"]
    command = shlex.split(said.splitlines()[-1].partition("elsewhere: ")[2])
    assert command == ["coterie", "export", "run", "ann", "--format", "kohya", "--out", "ann.safetensors"]
    assert typed(*command[1:])[0] == 0
    assert (folders / "ann.safetensors").is_file()
    adapters = [read_peft(folders / "run" / "sites" / name / "adapters" / "personal") for name in ("ann", "ben")]
    assert adapters[0].row.ne(adapters[1].row).any()
    page = (folders / "run" / "server" / "report.html").read_text()
    sites, shown = folders / "run" / "sites", {}
    for name in ("ann", "ben"):
        shown[name] = json.loads((sites / name / "pictures" / "final" / "captions.json").read_text())
        for sheet in ("before", "final"):
            assert len(list((sites / name / "pictures" / sheet).glob("*.png"))) == len(shown[name])
    assert shown["ann"]
    assert set(shown["ann"]) <= {f"thing {i}" for i in range(4)}
    assert shown["ben"] == ["zwx"]
    cards = re.findall(r'<article class="person".*?</article>', page, re.DOTALL)
    assert [re.findall(r"<figcaption>(.*?)</figcaption>", card) for card in cards] == [shown["ann"], shown["ben"]]
    assert "asked for the first of its own captions" in page
    assert tomllib.loads((folders / "run/server/recipe.toml").read_text())["pictures"]["prompts"] == []
    assert not list((folders / "run" / "server").glob("pictures/**/*.png"))
    assert "Two folders of pictures became adapters of one frozen picture model." in page
    assert "Who is near whom" not in page
    assert typed("train", "ann", *TINY, "--held-out", "0", "--trigger", "sks", "--out", "all")[0] == 0
    captions = folders / "all" / "sites" / "ann" / "pictures" / "final" / "captions.json"
    assert json.loads(captions.read_text()) == [f"sks, thing {i}" for i in range(4)]


def test_prompts_that_are_given_are_drawn_with_every_adapter(typed, folders):
    given = ("--set", 'pictures.prompts=["a fox"]')
    assert typed("train", "ann", "ben", "--trigger", "ben=zwx", *TINY, *given, "--out", "run")[0] == 0
    page = (folders / "run" / "server" / "report.html").read_text()
    assert "“a fox”, one prompt and one noise" in page
    assert page.count("<figcaption>a fox</figcaption>") == 2
    assert not list((folders / "run" / "sites").glob("*/pictures/before"))


def test_a_recipe_that_is_written_elsewhere_finds_its_folders(typed, folders):
    (folders / "deep" / "er").mkdir(parents=True)
    assert typed("new", "ann", "--out", "deep/er/mine.toml")[0] == 0
    assert 'paths = ["../../ann"' in " ".join((folders / "deep/er/mine.toml").read_text().split()).replace("[ ", "[")
    assert typed("data", "check", "deep/er/mine.toml")[0] == 0


@pytest.mark.parametrize("odd", ['a "b" c', "it's", '"' * 3, "a\\n#b", "ünï=x"])
def test_triggers_survive_being_written_as_they_were_typed(typed, folders, odd):
    words = ("ann", "ben", "--trigger", f"ben={odd}", "--trigger", "sks")
    assert typed("new", *words, "--out", "mine.toml")[0] == 0
    wanted = {"ann": "sks", "ben": odd}
    assert tomllib.loads((folders / "mine.toml").read_text())["data"]["source"]["triggers"] == wanted
    assert read_recipe(folders / "mine.toml").data.source.triggers == wanted
    code, said, _ = typed("data", "check", "mine.toml", "--format", "json")
    assert code == 0
    assert json.loads(said)["repeated_captions"] == [[odd, 4]]


def test_a_folder_of_folders_becomes_an_adapter_for_each_as_the_refusal_says(typed, folders):
    (folders / "my pets").mkdir()
    for name in ("ann", "ben"):
        (folders / name).rename(folders / "my pets" / name)
    code, _, error = typed("train", "my pets", *TINY, "--out", "run")
    assert (code, error.count("\n")) == (2, 1)
    assert "holds 2 folders of pictures and none of its own" in error
    assert error.endswith("made with: coterie train 'my pets'/*/\n")
    assert not (folders / "run").exists()
    assert typed("new", "my pets")[0] == 2
    assert typed("new", "my pets/ann/", "my pets/ben/")[0] == 0
    assert [path.name for path in read_recipe(folders / "recipe.toml").data.source.paths] == ["ann", "ben"]


def test_folders_beside_pictures_are_told_and_those_that_belong_together_are_not(typed, folders):
    for name in ("one", "two"):
        shutil.copytree(folders / "ann", folders / "ann" / name)
    code, said, _ = typed("train", "ann", "--trigger", 'a "b" c', *TINY, "--out", "mixed")
    assert code == 0
    (hint,) = [line.strip() for line in said.splitlines() if "hint: " in line]
    assert hint.startswith("hint: ann holds 2 folders of pictures beside its own")
    assert hint.endswith("coterie train ann/*/")
    for name in ("train", "test"):
        shutil.copytree(folders / "ben", folders / "split" / name)
    (folders / "listed").mkdir()
    lines = []
    for name in ("one", "two"):
        shutil.copytree(folders / "ben", folders / "listed" / name)
        lines += [json.dumps({"file_name": f"{name}/{i}.png", "text": f"thing {i}"}) for i in range(4)]
    (folders / "listed" / "metadata.jsonl").write_text("\n".join(lines))
    assert typed("new", "split", "listed")[0] == 0
    assert [Folders((folders / name,)).hints() for name in ("split", "listed", "ben")] == [[], [], []]
    table = Folders((folders / "split", folders / "ben")).read(16)
    assert table.columns["split"] == ("test",) * 4 + ("train",) * 4 + ("",) * 4


def test_a_mistake_that_is_found_before_the_first_round_leaves_nothing_behind(typed, folders):
    assert typed("train", "ann", *TINY, "--out", "run")[0] == 0
    (folders / "empty").mkdir()
    kept = {path: path.read_bytes() for path in (folders / "run").rglob("*") if path.is_file()}
    begin = ("--set", "start=run/sites/ann/adapters/personal")
    for out in ("mine", "empty"):
        code, _, error = typed("train", "ann", *TINY, "--rank", "4", *begin, "--out", out)
        assert (code, error.count("\n")) == (2, 1)
        assert "start: " in error
        assert "see method.rank" in error
    assert not (folders / "mine").exists()
    assert not list((folders / "empty").iterdir())
    assert typed("train", "ann", *TINY, *begin, "--out", "mine")[0] == 0
    assert "there is a run already" in typed("train", "ann", *TINY, "--rank", "4", *begin, "--out", "run")[2]
    assert kept == {path: path.read_bytes() for path in (folders / "run").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "why", ["a round is finished", "another process runs there", "the disk is full", "too few answered", "a sibling"]
)
def test_what_was_finished_and_what_is_not_ours_stays(folders, why):
    folder, other = RunFolder(folders / "run"), RunFolder(folders / "run")
    if why == "a sibling":
        folder.write("recipe.toml.old", "x")
    error = {"the disk is full": Halted, "too few answered": QuorumLost}.get(why, UserError)(why)

    def begun():
        with nothing_left_of_mistakes(folder):
            folder.write("recipe.toml", "")
            if why == "a round is finished":
                folder.write("checkpoints/round-0000.safetensors", b"x")
            elif why == "another process runs there":
                other.lock()
            raise error

    with pytest.raises(UserError, match=why):
        begun()
    other.unlock()
    assert folder.exists == (why != "a sibling")
    assert why != "a sibling" or (folder.server / "recipe.toml.old").is_file()


def test_what_is_skipped_and_who_is_not_scored_is_said_and_the_others_are_scored(typed, folders):
    (folders / "ann" / "broken.png").write_bytes(b"no picture")
    (folders / "ann" / "broken.txt").write_text("a thing")
    for caption in (folders / "ben").glob("*.txt"):
        caption.write_text("always the same")  # so that nothing can be held out
    code, out, _ = typed("train", "ann", "ben", *TINY, "--out", "run")
    assert code == 0
    (line,) = [line for line in out.splitlines() if "2 folders" in line]
    assert "1 skipped (ann/broken.png: " in line
    assert line.endswith("not scored, as no picture is held out of them: ben")
    scored = {s["client"] for s in json.loads((folders / "run" / "server" / "results.json").read_text())["final"]}
    assert scored == {"ann"}
    page = (folders / "run" / "server" / "report.html").read_text()
    assert "pictures that could not be used: ann/broken.png" in page
    assert "no picture is held out of them: ben" in page


def test_the_recipe_that_is_written_says_the_same_and_runs(typed, folders):
    assert typed("new", "ann", "ben", *TINY[:2], *TINY[8:], "--out", "mine.toml")[0] == 0
    assert 'name = "folders"' in (folders / "mine.toml").read_text()
    code, _, error = typed("new", "ann", "--out", "mine.toml")
    assert (code, error.count("\n")) == (2, 1)
    assert "is there already" in error
    assert typed("run", "mine.toml", "--set", "rounds=1", "--set", "form.fit.steps=1", "--out", "run")[0] == 0


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["nobody"], "nobody: no such folder"),
        (["ann", "./ann"], "two folders are called 'ann'"),
        (["ann", "--trigger", "anne=x"], "no folder is called 'anne'; did you mean 'ann'?"),
        (["ann", "--trigger", "x", "--trigger", "y"], "only one word can be for all folders"),
        (["ann", "--trigger", ""], "--trigger '': the word is empty; wanted WORD or NAME=WORD"),
        (["ann", "--trigger", "ann= "], "--trigger 'ann= ': the word is empty"),
        (["ann", "--trigger", "ann=a\nb"], "the word has characters that cannot be printed"),
        (["ann", "--trigger", "\udcff"], "the word has characters that cannot be printed"),
        ([".", "ann"], ".: holds 2 folders of pictures and none of its own; an adapter for each is made with: coterie"),
        (["ann", "--backbone", "dodle"], "did you mean 'doodle'?"),
        (
            ["ann", "--buckets"],
            "data.crop: the backbone doodle knows squares only; take crop = 'square', or a diffusers",
        ),
        (["ann", "--memory", "plenty"], "engine.memory: 'plenty' is no size"),
    ],
)
def test_mistakes_are_one_line(typed, folders, words, wanted):
    code, _, error = typed("train", *words, "--set", "engine.workers=0")
    assert code == 2
    assert wanted in error
    assert error.strip().count("\n") == 0


def test_triggers_stand_before_captions_and_for_missing_ones(folders):
    table = Folders((folders / "ann", folders / "ben"), {"ann": "sks"}).read(16)
    assert table.captions[:4] == tuple(f"sks, thing {i}" for i in range(4))
    assert table.captions[4:] == ("ben",) * 4
    assert table.columns["client"] == ("ann",) * 4 + ("ben",) * 4
