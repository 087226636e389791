"""What the page and ``coterie show`` say of forms that are no averaging of everybody's replies."""

import json
import re

import pytest
import tomli_w

from coterie.cli.tables import print_details
from coterie.federation.leaving import leaves_of
from coterie.federation.shelves import FORMS
from coterie.report import make_report
from coterie.report.crossings import never_sent, sent_instead
from coterie.report.forgetting import forgetting
from coterie.report.read import read_arm
from coterie.report.words import size
from coterie.runs.show import details

PEOPLE = ("ada", "bo", "cleo", "dov")
EVERY_ROUND = [(r, c) for r in (1, 2) for c in PEOPLE]


def up(round, client, num_bytes, messages=1, wasted=False):
    return [round, client, "up", "memory", "train", wasted, num_bytes, messages]


BYTES = {
    # four visits a round: three hops from device to device, the last one hands over to the server
    "sequential": (
        [[r, c, "across", "device-to-device", "train", False, 40_000, 1] for r, c in EVERY_ROUND if c != "dov"]
        + [up(r, "dov", 40_000) for r in (1, 2)] + [up(2, "ada", 9_000, wasted=True)],
        40_000, "another device or the server",
    ),
    # two edge rounds in one of the cloud; what edges and cloud send each other is nobody's
    "hierarchical": (
        [up(r, c, 100_000, 2) for r, c in EVERY_ROUND]
        + [[r, e, "up", "backhaul", "train", False, 70_000, 1] for r in (1, 2) for e in ("edge-north", "edge-south")],
        100_000, "an edge",
    ),
    "split": ([up(r, c, 3_000_000, 41) for r, c in EVERY_ROUND], 3_000_000, "the server"),
    # one of them was asked in one round alone
    "fedavg": ([up(r, c, 50_000) for r, c in EVERY_ROUND if (r, c) != (2, "bo")], 50_000, "the server"),
}  # fmt: skip


def of_form(path, write_run, form, **settings):
    write_run(path, form)
    recipe = path / "server" / "recipe.toml"
    if settings:
        text = recipe.read_text().replace(
            f'[form]\nname = "{form}"\n', f'[form]\nname = "{form}"\n{tomli_w.dumps(settings)}'
        )
        assert text != recipe.read_text()
        recipe.write_text(text)
    return path


def text_of(path):
    page = make_report(path).read_text().replace("\u00a0", " ")
    return page[page.index("<body") : page.index("<script")]


@pytest.mark.parametrize("form", BYTES)
def test_what_a_person_hands_over_in_a_round_is_what_the_meter_counted(tmp_path, write_run, capsys, form):
    rows, num_bytes, to = BYTES[form]
    path = of_form(tmp_path / "run", write_run, form)
    file = path / "server" / "results.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "bytes": rows}))
    keys = re.search(r'<ul class="keys".*?</ul>', text_of(path), re.S)[0]
    told = size(num_bytes).replace("\u00a0", " ")
    assert f"handed over by a person in a round, on average</span> <strong>{told}</strong>" in keys
    assert f"to {to}" in keys
    assert ("activations and gradients" in keys) == (form == "split")
    assert ("the full model would be" in keys) == (form != "split")
    found = details(path)
    assert (found["facts"]["sent_bytes_per_person_and_round"], found["facts"]["sent_to"]) == (num_bytes, to)
    print_details(found, "table")
    said = capsys.readouterr().out
    assert re.search(rf"^handed over by a person in a round, on average +\S+ [kM]B, to {to}$", said, re.M)


def test_show_speaks_plain_words_with_units(tmp_path, write_run, capsys):
    print_details(details(write_run(tmp_path / "run")), "table")
    said = capsys.readouterr().out
    assert re.search(r"^time +1 min 15 s$", said, re.M)
    assert re.search(r"^person +learns from +cluster +own, served +own, personal +style, served", said, re.M)
    assert re.search(r"^ada +12 +cluster-0 +40\.0 % +50\.0 %", said, re.M)
    assert "Shares of the bare model's held-out error removed. own: the person's own" in said
    assert not re.search(r"\b[a-z]+_[a-z]+|\w/(served|personal)", said.partition("\n")[2])  # below the folder's path


def test_every_form_that_trains_elsewhere_says_what_it_hands_over_instead(tmp_path, write_run):
    usual = ["training pictures and held-out pictures", "their captions"]
    for form in ("clustered", "fedavg", "sequential", "hierarchical"):
        arm = read_arm(write_run(tmp_path / form, form))
        assert never_sent(arm)[:2] == usual
        assert sent_instead(arm) == []
    arm = read_arm(of_form(tmp_path / "split", write_run, "split"))
    assert "training pictures" not in str(never_sent(arm))
    assert "their captions" not in never_sent(arm)
    (what, layers), (which, encoded) = sent_instead(arm)
    assert (what, which) == ("training pictures", "their captions")
    assert "what the first layers make of" in layers
    assert "turned back into words" in encoded


@pytest.mark.parametrize("captions", [False, True])
def test_a_noised_version_of_each_picture_is_named(tmp_path, write_run, captions):
    path = of_form(tmp_path / "run", write_run, "split_steps", captions=captions)
    page = text_of(path)
    assert "<b>training pictures</b>: one noised version of each" in page
    assert ("<li>their captions</li>" in page) != captions
    assert ("<b>their captions</b>: encoded" in page) == captions
    assert "<li>held-out pictures</li>" in page
    assert ("and its encoded caption" in page) == captions


def test_the_server_is_told_the_words_of_texts_in_the_v_shape():
    for shape, told in (("u", False), ("v", True)):
        leaves = leaves_of(FORMS.build({"name": "split", "shape": shape}), "passage")["train"]
        assert ("every word of them but the first" in leaves.instead_of["examples"]) == told
        assert ("words to be foretold" in leaves.what) == told


def test_of_a_form_that_is_not_known_here_nothing_is_claimed(tmp_path, write_run):
    path = write_run(tmp_path / "run", "fedavg")
    recipe = path / "server" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "fedavg"', 'name = "elsewhere"'))
    page = text_of(path)
    assert "What was never sent" not in page
    assert "not known to this installation" in page


def test_personal_adapters_are_named_only_where_there_are_any(tmp_path, write_run):
    assert "personal adapters, and pictures drawn with them" in never_sent(read_arm(write_run(tmp_path / "one")))
    arm = read_arm(write_run(tmp_path / "other", "sequential"))
    assert "personal" not in str(never_sent(arm))


def test_forgetting_is_on_the_page(tmp_path, write_run):
    path = write_run(tmp_path / "run", "sequential")
    assert forgetting(read_arm(path)) is None
    assert "Forgetting" not in text_of(path)
    numbers = {"loss/ada": 0.5, "forgetting": 0.01, "forgetting/ada": 0.03, "forgetting/bo": -0.01,
               "forgetting/hop-02": 0.0, "forgetting/hop-03": 0.0123}  # fmt: skip
    done = [{"event": "round_done", "round": r, "numbers": numbers if r else {}, "clusters": {}} for r in (0, 1, 2)]
    (path / "server" / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in done))
    rows = forgetting(read_arm(path))["rows"]
    assert [row["round"] for row in rows] == [1, 2]
    assert rows[0] == {"round": 1, "mean": 0.01, "most": 0.03, "whose": "ada", "hops": [0.0, 0.0123]}
    page = text_of(path)
    assert "above zero is forgotten" in page
    assert '<td class="n">+0.01</td><td class="n">+0.03</td><td>ada</td><td>+0, +0.012</td>' in page


def test_edges_are_called_edges(tmp_path, write_run):
    path = write_run(tmp_path / "run", "hierarchical")
    page = text_of(path).partition('<section id="study"')[0]
    assert "Who is at which edge" in page
    assert '<span class="label">edges</span> <strong>2</strong>' in page
    assert "edge-north" in page
    assert not re.search(r"clusters?\b", re.sub(r'class="[^"]*"|data-cluster', "", page))
    found = details(path)
    assert found["people"][0]["edge"] == "edge-north"


def test_who_is_at_an_edge_keeps_what_all_are_served(tmp_path, write_run):
    """An edge publishes no adapter of its own."""
    path = write_run(tmp_path / "run", "hierarchical")
    arm = read_arm(path)
    for drawn in (path / "sites").glob("*/pictures/final/*.png"):
        drawn.unlink()
    assert len(arm.kept_pictures("ada")) == 3
    assert "what ada was served" in text_of(path)


def test_one_adapter_of_all_is_shown_once_at_the_top(tmp_path, write_run):
    path = write_run(tmp_path / "run", "hierarchical")
    for drawn in (path / "sites").glob("*/pictures/final/*.png"):
        drawn.write_bytes((path / "server" / "pictures" / "global" / drawn.name).read_bytes())
    lineup = re.search(r'<section class="lineup".*?</section>', text_of(path), re.S)[0]
    assert "what each person was served" in lineup
    assert lineup.count("<figcaption>") == 2
    assert "\nall</figcaption>" in lineup
