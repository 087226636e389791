"""The page as a whole: policy, sections, hostile names, missing pieces."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess

import pytest

from coterie.cli.tables import print_details
from coterie.core.errors import UserError
from coterie.report import make_report
from coterie.report.limits import again
from coterie.report.page import embedded
from coterie.report.read import read_arm, read_run
from coterie.runs.show import details

PEOPLE = {"ada": "neon", "bo": "pixel", "cleo": "neon", "dov": "pixel"}
SECTIONS = ("people", "near", "hybrids", "curves", "left", "numbers", "limits")


def page_of(path, **more):
    return make_report(path, **more).read_text(encoding="utf-8")


def sha(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(run):
    page = page_of(run)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert rules == {
        "default-src": "'none'", "img-src": "data:", "style-src": sha(style), "script-src": sha(script),
        "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert not re.search(r"<[a-z][^>]*\s(style|on[a-z]+)=", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S))


def test_nothing_is_asked_of_any_network(run):
    bare = re.sub(r"<script>.*?</script>", "", page_of(run), flags=re.S)
    assert not re.search(r"https?://|\bsrc=|@import", bare)
    assert set(re.findall(r"url\((.{5})", bare)) == {"data:"}
    assert {h[0] for h in re.findall(r'href="([^"]+)"', bare)} <= {"#", "d"}
    assert str(run.parent) not in bare


def test_all_sections_are_there_in_order(run):
    page = page_of(run)
    places = [page.index(f'<section id="{name}"') for name in SECTIONS]
    assert places == sorted(places)
    for words in (
        "A simulation:",
        "all four",
        "one adapter for all",
        "feedfacecafe",
        "What was never sent",
    ):
        assert words in page
    assert len(page.encode()) < 600_000
    assert not list((run / "server").glob("*.part"))


def test_the_key_numbers_are_those_of_the_folder(run):
    page = page_of(run).replace("\u00a0", " ")
    keys = re.search(r'<ul class="keys".*?</ul>', page, re.S)[0]
    assert re.findall(r"<strong>(.*?)</strong>", keys) == ["4", "2", "50.0 %", "50 kB"]
    assert "the full model would be 2.0 MB" in keys


def test_a_run_that_has_not_written_names_down_says_how_many_there_are(tmp_path, write_run):
    path = write_run(tmp_path / "run", "sequential", finished=False)
    shutil.rmtree(path / "sites")
    people = {"event": "people", "clients": 4, "what": "pictures", "who": "people", "train": 48, "held_out": 9,
              "unscored": [], "skipped": [], "hints": []}  # fmt: skip
    (path / "server" / "journal.jsonl").write_text(json.dumps(people) + "\n")
    page = " ".join(page_of(path).split())
    assert "Four people taught one frozen picture model together" in page
    assert "all four people ran on one machine" in page
    assert "Their names are not written down yet" in page
    assert "Nobody has enrolled" not in page


def test_the_title_tells_runs_of_one_recipe_apart(tmp_path, write_run):
    for folder, title in (("studio-2", "studio-2 (fixture)"), ("fixture", "fixture")):
        page = page_of(write_run(tmp_path / folder))
        assert f"<title>{title} – Coterie report</title>" in page
        assert f"<h1>{title}</h1>" in page


def test_the_guard_against_a_locale_that_intl_refuses_stands_before_the_library(run):
    (script,) = re.findall(r"<script>(.*?)</script>", page_of(run), re.S)
    assert script.index("Intl.NumberFormat(navigator.language)") < script.index("uPlot=")


# Coterie is Python alone, and to test it asks for no other language; where a node is, the real script is run as well.
@pytest.mark.skipif(shutil.which("node") is None, reason="a browser's script, and there is no node to run it")
@pytest.mark.parametrize("language", ["en-US@posix", "C", "de-DE"])
def test_the_script_runs_under_a_locale_that_intl_refuses(run, tmp_path, language):
    """As browsers report it under POSIX; without the guard the chart's library stops everything with a RangeError."""
    (script,) = re.findall(r"<script>(.*?)</script>", page_of(run), re.S)
    file = tmp_path / "page.js"
    around = f"""
        class Navigator {{ get language() {{ return {language!r}; }} }}
        Object.defineProperty(globalThis, "navigator", {{ value: new Navigator(), configurable: true }});
        globalThis.window = globalThis;
        globalThis.devicePixelRatio = 1;
        globalThis.matchMedia = () => ({{ addEventListener() {{}} }});
        globalThis.addEventListener = globalThis.dispatchEvent = () => {{}};
        globalThis.document = {{
            getElementById: (id) => (id === "curve-data" ? {{ textContent: '{{"lines":[]}}' }} : null),
            querySelector: () => null, documentElement: {{}},
        }};
    """
    file.write_text(around + script + f"\nif (navigator.language !== {language!r}) console.log(navigator.language);")
    done = subprocess.run(["node", str(file)], capture_output=True, text=True, timeout=60)
    assert not done.stderr
    assert done.stdout.strip() == ("en-US" if language != "de-DE" else "")


@pytest.mark.parametrize("form", ["fedavg", "local"])
def test_a_form_without_clusters_or_control_has_a_page_without_sections_that_say_nothing(tmp_path, write_run, form):
    page = page_of(write_run(tmp_path / "run", form))
    for name in ("near", "hybrids"):
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page
    assert "There is no second run to compare with" in page


def test_an_unfinished_run_says_so_and_shows_what_there_is(tmp_path, write_run):
    page = page_of(write_run(tmp_path / "run", finished=False))
    assert "This run is not finished:" in page
    assert "1 of 2 rounds" in page
    assert "as training goes on" in page
    for name in PEOPLE:
        assert f"No pictures of {name} have been drawn yet" in page


def test_an_unfinished_run_promises_nothing_that_is_not_there(tmp_path, write_run):
    path = write_run(tmp_path / "run", finished=False)
    journal, begun = path / "server" / "journal.jsonl", {"event": "round_done", "numbers": {}, "clusters": {}}
    rows = [{**begun, "round": n, "loss": loss} for n, loss in ((0, 0.5123), (1, 0.4567))]
    rows[1]["scored"] = {"people": 4, "new": 1, "gone": 0}
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = path / "server" / "recipe.toml"
    recipe.write_text(recipe.read_text() + '\n[control]\nform = "fedavg"\n')
    page = page_of(path).replace("\u00a0", " ")
    body = page[page.index("<body") : page.index("<script")]
    assert "<dd>1 of 2</dd>" in body
    assert "Pictures before and after are drawn when the run is finished" in body
    assert "will also keep a personal one" in body
    assert "0.5123" in body
    assert "0.4567 (of 4 people: 1 new)" in body
    assert "It has not begun yet" in body
    for words in (
        "The same prompts for everybody",
        "after</b> is the model",
        "This page shows people's own",
        "turned off",
        "Not looked for",
        "Personal adapters, which people keep",
        'id="hybrids"',
    ):
        assert words not in body


def test_missing_pieces_are_left_out(run):
    path = run / "server" / "results.json"
    found = json.loads(path.read_text())
    for key in ("backbone_parameters", "backbone_digest", "other_wishes", "wishes", "copies", "numbers", "failures"):
        found.pop(key)
    path.write_text(json.dumps(found))
    shutil.rmtree(run / "server" / "pictures" / "hybrid")
    shutil.rmtree(run / "sites" / "ada")
    (run / "server" / "environment.json").unlink()
    (run / "server" / "pictures" / "base" / "00.png").write_bytes(b"no picture")
    page = page_of(run)
    assert "no encoded wishes" in page
    assert "does not say how large" in page
    assert "Not looked for in this run" in page


def test_what_went_wrong_is_told(run):
    events = [
        {"event": "client_failed", "client": "bo", "round": 1, "reason": "<b>power</b>"},
        {"event": "resumed", "round": 1, "broken": ["round-0002.safetensors: too short"]},
    ]
    with open(run / "server" / "journal.jsonl", "a") as file:
        file.write("\n" + "".join(json.dumps(e) + "\n" for e in events))
    path = run / "server" / "results.json"
    found = json.loads(path.read_text())
    found["bytes"].append([1, "bo", "up", "memory", "train", True, 9000, 1])
    found["copies"]["bo"]["copies"] = 8
    path.write_text(json.dumps(found))
    page = page_of(run).replace("\u00a0", " ")
    assert "bo failed in round 1: &lt;b&gt;power&lt;/b&gt;" in page
    assert "resumed after round 1" in page
    assert "a damaged checkpoint was skipped: round-0002.safetensors: too short" in page
    assert "9 kB crossed in attempts" in page
    assert "Look closely at bo (8 of 8" in page


def test_a_hostile_name_is_text(tmp_path, write_run):
    evil = "</script><img src=x onerror=alert(1)>'\"&\u2028"
    page = page_of(write_run(tmp_path / "run", people={**PEOPLE, evil: "neon"}))
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;img" in page
    (data,) = re.findall(r'<script type="application/json" id="curve-data">(.*?)</script>', page, re.S)
    assert any(evil in line["label"] for line in json.loads(data)["lines"])
    assert not set("<>&\u2028\u2029") & set(embedded([evil]))


STUDY = {
    "arms": [
        {"name": "clustered <4>", "mean": 0.31, "worst": 0.2, "seeds": [0, 1, 2], "per_seed": [0.30, 0.31, 0.32]},
        {"name": "harmful", "mean": -0.02, "worst": -0.2, "seeds": [0, 1, 2], "per_seed": [-0.03, -0.02, -0.01]},
    ],
    "hypotheses": [
        {"claim": "groups help", "better": "clustered <4>", "other": "harmful", "measure": "removed", "mean": 0.33,
         "per_seed": [0.31, 0.35], "supported": True},
        {"claim": "it costs nothing", "better": "harmful", "other": "clustered <4>", "measure": "subject",
         "mean": -0.33, "per_seed": [-0.31, -0.35], "supported": False},
    ],
}  # fmt: skip


def test_the_packaged_study_stands_beside_runs_of_its_people_only(tmp_path, write_run):
    run = write_run(tmp_path / "run", "clustered")
    assert 'id="study"' in page_of(run)
    recipe = run / "server" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "studio"', 'name = "parquet"'))
    assert 'id="study"' not in page_of(run)


def test_a_study_is_marked_as_not_from_this_run(run, tmp_path):
    study = tmp_path / "study.json"
    study.write_text(json.dumps(STUDY))
    page = page_of(run, study=study).replace("\u00a0", " ")
    assert "Not from this run" in page
    assert "clustered &lt;4&gt;" in page
    assert "31.0 %" in page
    assert "30.0 % to 32.0 %" in page
    assert "+33.0 points" in page
    assert page.count("<b>not&nbsp;supported</b>") == 1
    assert "A full study" not in page


def test_a_study_without_hypotheses_is_a_table_of_arms(run, tmp_path):
    study = tmp_path / "study.json"
    study.write_text(json.dumps({"arms": STUDY["arms"]}))
    page = page_of(run, study=study)
    assert "What was claimed" not in page
    assert "clustered &lt;4&gt;" in page


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '{"arms": []}', '{"arms": [{"name": "x"}]}'])
def test_a_study_that_cannot_be_read_is_an_error_in_words(run, tmp_path, text):
    study = tmp_path / "study.json"
    study.write_text(text)
    with pytest.raises(UserError, match=r"study\.json"):
        make_report(run, study)


def test_a_folder_that_is_no_run_is_an_error_in_words(tmp_path, write_run):
    with pytest.raises(UserError, match="not a run"):
        make_report(tmp_path)
    (write_run(tmp_path / "run") / "server" / "results.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        make_report(tmp_path / "run")


def test_the_same_folder_gives_the_same_page(run):
    assert page_of(run) == page_of(run)


def test_who_drew_nothing_is_shown_what_the_server_drew_of_the_same_adapter(run):
    before = page_of(run)
    for drawn in (run / "sites").glob("*/pictures/final"):
        shutil.rmtree(drawn)
    arm, _ = read_run(run)
    for client, cluster in arm.clusters.items():
        theirs, servers = arm.kept_pictures(client), arm.server_pictures(cluster)
        assert len(theirs) == 3
        assert all((a == b).all() for a, b in zip(theirs, servers, strict=True))
    assert page_of(run) != before


def test_a_grid_of_hybrids_stays_narrow(run):
    for folder in (run / "server" / "pictures" / "hybrid").glob("*/*"):
        for i in range(3, 8):
            shutil.copy(folder / "00.png", folder / f"{i:02d}.png")
    page = page_of(run)
    lines = re.findall(r'<div class="line">(.*?)</div>', page, re.S)
    assert len(lines) == 5
    assert {line.count('role="img"') for line in lines} == {3}


def test_weights_that_were_rounded_are_named(tmp_path, write_run):
    path = write_run(tmp_path / "packed")
    assert again(read_arm(path))["facts"]["frozen weights"] == "as they are"
    recipe = path / "server" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[backbone]", '[backbone]\nquantise = "int8"'))
    assert again(read_arm(path))["facts"]["frozen weights"] == "int8"
    assert "frozen weights" in page_of(path)


def folders_alone(path, write_run, scored):
    write_run(path, "local")
    recipe = path / "server" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "studio"', 'name = "folders"'))
    at = path / "server" / "results.json"
    found = json.loads(at.read_text())
    found["clients"]["ada"]["examples"], found["wishes"] = 15, {}
    for key in ("history", "final"):
        found[key] = [s for s in found[key] if scored and s["test"] == "own"]
    at.write_text(json.dumps(found))
    shutil.rmtree(path / "server" / "pictures")
    return page_of(path)


@pytest.mark.parametrize("scored", [True, False])
def test_a_page_of_folders_alone_speaks_of_nothing_that_was_shared(tmp_path, write_run, scored):
    page = re.sub(r"<(style|script).*?</\1>", "", folders_alone(tmp_path / "run", write_run, scored), flags=re.S)
    for words in (
        "sends up",
        "deployment",
        "phones",
        "served",
        "the style",
        "encoded wishes",
        "simulation",
        "each cluster",
    ):
        assert words not in page
    assert "51 pictures to learn from, 12 to 15 each" in page
    for words in ("Error removed", "<tfoot>", 'id="curves"', 'href="#curves"', "mean held-out loss"):
        assert (words in page) == scored
    assert ("Nothing was scored in this run" in page) != scored
    assert "no scores after a round yet" not in page


def test_columns_of_an_alone_run_that_say_nothing_are_not_shown(tmp_path, write_run, capsys):
    path = tmp_path / "run"
    folders_alone(path, write_run, True)
    found = details(path)
    assert found["people"][0]["own/personal"] == 0.5
    assert not {"own/served", "style/served"} & set(found["people"][0])
    print_details(found, "table")
    said = capsys.readouterr().out
    assert "own, personal" in said
    for words in ("cluster", "style", "handed over", "failed"):
        assert words not in said


def test_who_is_alone_in_a_cluster_is_said(tmp_path, write_run, capsys):
    path = write_run(tmp_path / "run", people={"ada": "neon", "bo": "neon", "cleo": "neon", "dov": "pixel"})
    page = page_of(path)
    assert "<span>dov, alone</span>" in page
    assert "<span>ada, bo and cleo</span>" in page
    assert "of 3 and 1 people, one of them alone" in page
    assert "<dt>people alone in their cluster</dt><dd>1</dd>" in page
    found = details(path)
    assert found["facts"]["alone_in_a_cluster"] == ["dov"]
    print_details(found, "table")
    assert re.search(r"alone in a cluster +dov", capsys.readouterr().out)


def test_the_peak_of_memory_is_shown_as_it_was_predicted_and_as_it_was(tmp_path, write_run):
    run = write_run(tmp_path / "run")
    assert "peak memory" not in page_of(run)
    planned = {"event": "planned", "peak": 4_800_000_000, "phase": "drawing", "memory": "6GB", "checkpointing": False}
    journal = run / "server" / "journal.jsonl"
    begun = journal.read_text().removesuffix('{"event": "cut')
    journal.write_text(begun + json.dumps(planned) + "\n")
    assert "4.8\u00a0GB predicted (drawing), 6GB allowed<" in page_of(run)
    # a run that was resumed in another process ends with that one's peak
    ends = [{"event": "finished", "peak": 5_100_000_000}, {"event": "finished", "peak": 3_000_000_000}]
    journal.write_text(begun + "\n".join(map(json.dumps, [planned, *ends])) + "\n")
    assert "4.8\u00a0GB predicted (drawing), 6GB allowed, 5.1\u00a0GB used<" in page_of(run)
    # an embedded backbone's plan says nothing of the whole process
    journal.write_text(begun + json.dumps({**planned, "checkpointing": None}) + "\n")
    assert "peak memory" not in page_of(run)
