"""Routing and the audits, as a person types them, on tiny runs of the studio's people."""

import functools
import json
import shutil

import pytest
from PIL import Image

STUDIO = ("data.partition=column", "form.grouping.name=wishes", "evaluation.copies=0", "pictures.people=false")
MODES = ({}, {"project": 16, "noise": 0.1, "rounding": "sign"})


@pytest.fixture(scope="module")
def grouped(tiny, tmp_path_factory):
    from coterie.runs.reading import read_recipe
    from coterie.runs.run import start

    path = tmp_path_factory.mktemp("grouped") / "run"
    start(read_recipe(None, [*tiny, *STUDIO]), path)
    return path


def wish_of(person, kind):
    from coterie.data.sources.studio import population

    return population(16).clients[person].wishes[kind]


def test_a_prompt_picks_its_adapters_and_says_so(typed, grouped, tmp_path):
    clusters = json.loads((grouped / "server" / "results.json").read_text())["clusters"]
    ask = ("generate", grouped, "-n", 1, "--steps", 1, "--out", tmp_path / "p", "--prompt")
    code, out, err = typed(*ask, wish_of("ada", "named"))
    assert (code, out.strip()) == (0, str(tmp_path / "p" / "sheet.png"))
    assert f"chosen by the prompt: {clusters['ada']} " in err
    notes = Image.open(tmp_path / "p" / "seed-0000.png").text
    assert notes["coterie:chosen"] == err.strip().splitlines()[-1]
    assert notes["coterie:adapters"] != "none"
    assert not [f for f in (tmp_path / "p").iterdir() if b"cocktail" in f.read_bytes()]
    code, _, err = typed(*ask, "cat")
    assert (code, "no cluster is near (" in err, ": bare model" in err) == (0, True, True)
    assert Image.open(tmp_path / "p" / "seed-0000.png").text["coterie:adapters"] == "none"


def test_what_is_named_overrides_the_prompt(typed, grouped, tmp_path):
    ask = ("generate", grouped, "-n", 1, "--steps", 1, "--out", tmp_path / "p", "--prompt", wish_of("ada", "named"))
    for which, bare in ((("--client", "bo"), False), (("--bare",), True)):
        code, _, err = typed(*ask, *which)
        assert (code, "chosen" in err) == (0, False)
        notes = Image.open(tmp_path / "p" / "seed-0000.png").text
        assert "coterie:chosen" not in notes
        assert (notes["coterie:adapters"] == "none") == bare
    code, _, err = typed(*ask, "--bare", "--client", "bo")
    assert (code, err.strip()) == (2, "error: give only one of --client, --cluster, --mix and --bare")


def test_python_chooses_alike(grouped):
    import coterie

    run = coterie.Run.open(grouped)
    (picture,) = run.generate(wish_of("ada", "named"), steps=1)
    assert picture.info["coterie:chosen"].startswith("chosen by the prompt: ")
    (bare,) = run.generate(wish_of("ada", "named"), steps=1, bare=True)
    assert "coterie:chosen" not in bare.info


def test_without_compared_wishes_the_bare_model_draws_and_that_is_said(typed, tiny_runs, tmp_path):
    code, _, err = typed(
        "generate", tiny_runs / "first", "--prompt", "cat", "-n", 1, "--steps", 1, "--out", tmp_path / "p"
    )
    assert code == 0
    assert "no wishes were compared in this run, so the prompt cannot choose: bare model" in err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("[1]", "wanted a list of numbers for every group"), ('{"a": [1, 2], "b": [1]}', "all of one length"),
     ('{"a": [1, 2]}', "centroids of 2 numbers, but a prompt has 384 here"), ("{", "cannot be read")],
)  # fmt: skip
def test_damaged_centroids_are_one_line(typed, grouped, tmp_path, text, wanted):
    shutil.copytree(grouped, tmp_path / "copy")
    (tmp_path / "copy" / "server" / "centroids.json").write_text(text)
    code, _, err = typed("generate", tmp_path / "copy", "--prompt", "cat", "-n", 1, "--steps", 1)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert "centroids.json: " in err
    assert wanted in err


def test_centroids_and_the_audit_of_routing_hold_no_words(typed, grouped):
    code, out, err = typed("audit", "routing", grouped, "--format", "json")
    assert code == 0
    assert "audit/routing.json" in err
    rows = {row["kind"]: row for row in json.loads(out)}
    assert rows["named"]["prompts"] == 12
    assert rows["named"]["right"] > 0.8  # by the wishes alone, whatever the model has learned
    assert rows["caption"]["none"] > 0.8
    for row in rows.values():
        if row["right"] is not None:
            assert row["right"] + row["wrong"] + row["none"] == pytest.approx(1)
            assert row["routed"] <= 1
    assert rows["named"]["oracle"] is not None
    kept = (grouped / "audit" / "routing.json").read_text() + (grouped / "server" / "centroids.json").read_text()
    assert not [word for word in wish_of("ada", "named").split() if len(word) > 6 and word in kept]


def test_routing_cannot_be_audited_without_wishes_or_truth(typed, tiny_runs, grouped, tmp_path):
    code, _, err = typed("audit", "routing", tiny_runs / "first")
    assert (code, err.strip().splitlines()[-1].endswith("routing needs one like form.grouping.name = 'wishes'")) == (
        2,
        True,
    )
    shutil.copytree(grouped / "server", tmp_path / "copy" / "server")
    results = json.loads((tmp_path / "copy" / "server" / "results.json").read_text())
    results["clients"]["ada"]["truth"] = None
    (tmp_path / "copy" / "server" / "results.json").write_text(json.dumps(results))
    code, _, err = typed("audit", "routing", tmp_path / "copy")
    assert (code, "the true groups are not known" in err) == (2, True)
    (tmp_path / "copy" / "server" / "results.json").unlink()
    assert "not finished; go on with" in typed("audit", "routing", tmp_path / "copy")[2]


@pytest.fixture
def small_attack(monkeypatch):
    """An attacker of seconds: few words, few sentences, two modes."""
    from coterie.evals import attack_texts
    from coterie.federation.wish_mode import WishMode
    from coterie.runs import audit_prompts

    modes = tuple(WishMode(**settings) for settings in MODES)
    small = functools.partial(audit_prompts.audit_prompts, modes=modes, training=256)
    monkeypatch.setattr(audit_prompts, "audit_prompts", small)
    monkeypatch.setattr(attack_texts, "DICTIONARY", 3000)


def test_the_audit_of_prompts_reads_plain_wishes_and_less_of_coarse_ones(typed, small_attack, tmp_path):
    code, out, err = typed("audit", "prompts", "--out", tmp_path / "a", "--seeds", 2)
    assert code == 0, err
    assert "project 16 + noise 0.1 + sign" in out
    said = [line for line in err.splitlines() if line.startswith("reading wishes back: ")]
    assert said == [f"reading wishes back: {step} of 6" for step in range(1, 7)]
    found = json.loads((tmp_path / "a" / "prompts.json").read_text())
    plain, coarse = found["modes"]
    assert (plain["bytes"], coarse["bytes"], plain["draws"], coarse["draws"]) == (1536, 2, 1, 2)
    assert plain["states"]["mean"] > 0.5 > 0.1 > coarse["states"]["mean"]
    assert plain["near"]["mean"] > 0.15 > coarse["near"]["mean"]
    assert plain["named"]["mean"] == 1
    assert coarse["named"]["mean"] < 1
    page = (tmp_path / "a" / "prompts.md").read_text()
    assert wish_of("ada", "named") in page
    assert "may not conclude" in page
    assert "the mean of 2 draws" in page
    assert (tmp_path / "a" / "prompts.svg").read_text().count("<circle") == 2


def test_the_audit_of_prompts_takes_runs_and_recipes_of_their_own_mode(typed, small_attack, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[form]\nname = "clustered"\nwish = { project = 24 }\n')
    code, out, _ = typed("audit", "prompts", recipe, "--out", tmp_path / "a", "--seeds", 1, "--format", "json")
    assert code == 0
    assert [row["mode"] for row in json.loads(out)][-1] == "project 24"
    page = (tmp_path / "a" / "prompts.md").read_text()
    assert "The mode of this recipe is `project 24`" in page
    assert "drawn once" in " ".join(page.split())
    assert "Of one draw of every projection and noise" in page
    assert "the mean of" not in page


def test_prompts_cannot_be_audited_where_nobody_wished(typed, tiny_runs, tmp_path):
    code, _, err = typed("audit", "prompts", tiny_runs / "first")
    assert (code, "nobody's wish is known in words" in err) == (2, True)
    code, _, err = typed("audit", "prompts", tmp_path)
    assert (code, "neither a run nor a recipe" in err) == (2, True)
    assert "no such recipe" in typed("audit", "prompts", tmp_path / "none.toml")[2]


def test_a_mode_that_cannot_be_is_one_line(typed):
    for setting, wanted in (
        ("form.wish.project=500", "form.wish.project: "), ("form.wish.rounding=int4", "form.wish.rounding: "),
        ("form.wish.nois=1", "form.wish.nois: unknown key; did you mean"),
    ):  # fmt: skip
        code, _, err = typed("recipe", "show", "--set", setting)
        assert (code, wanted in err, len(err.strip().splitlines())) == (2, True, 1)


def test_hybrids_are_drawn_and_judged_for_every_pair(typed, grouped, tiny_runs, tmp_path):
    code, out, err = typed("audit", "hybrids", grouped, "--draws", 1, "--format", "json", "--out", tmp_path / "h")
    assert (code, "hybrids.md" in err) == (0, True)
    (found,) = json.loads((tmp_path / "h" / "hybrids.json").read_text()).values()
    pairs = {row["pair"] for row in found["rows"]}
    assert [row["name"] for row in json.loads(out)] == [
        "the better one alone", "merge", "composite", "switch", "schedule", "merge, both fully",
    ]  # fmt: skip
    assert len(found["rows"]) == 7 * len(pairs)
    assert all(0 <= row["both"] <= min(row["first"], row["second"]) + 1e-9 for row in found["rows"])
    sheets = sorted(path.name for path in (tmp_path / "h").glob("*.png"))
    assert sheets == sorted(
        f"hybrids-{row['styles'].replace('+', '-')}.png" for row in found["rows"] if row["way"] == "merge"
    )
    text = (tmp_path / "h" / "hybrids.md").read_text()
    assert all(f"({name})" in text for name in sheets)
    code, _, err = typed("audit", "hybrids", grouped, grouped)
    assert (code, "two runs of one name" in err) == (2, True)
    code, _, err = typed("audit", "hybrids", tiny_runs / "first")
    assert (code, "no two clusters of different styles" in err or "other pictures" in err) == (2, True)
