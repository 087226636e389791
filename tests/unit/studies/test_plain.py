"""A study of losses alone: no judges, other sources than people, priced on the air, relays and bad clients."""

import json
import xml.etree.ElementTree as ET

import pytest

from coterie.core.errors import UserError
from coterie.studies.chosen import chosen
from coterie.studies.plan import plan
from coterie.studies.study import listing, study
from coterie.studies.writing import rounds_plot

STUDY = """
name = "plain"
question = "What does a relay cost?"
target = "fedavg"
air = ["lte", "wifi"]
[common]
rounds = 2
data = { column = "person", source = { name = "parquet", path = "{data}/held.parquet", caption_column = "name" } }
form = { fit = { steps = 1, batch = 2 } }
backbone = { name = "untrained" }
method = { targets = "attention" }
engine = { workers = 0, width = 2, dtype = "fp32" }
evaluation = { levels = 4, copies = 0, every = 1 }
pictures = { prompts = ["cat"], steps = 1, hybrids = false, people = false, every = 1000 }
[settings.quick]
rates = [1e-3]
[[arms]]
name = "base"
trains = false
changes = { rounds = 0, form = { name = "local" } }
[[arms]]
name = "fedavg"
changes = { form = { name = "fedavg" } }
[[arms]]
name = "relay"
changes = { form = { name = "sequential" } }
[[arms]]
name = "iid"
bare = "own"
changes = { form = { name = "fedavg" }, data = { partition = "iid", num_clients = 2 } }
[[hypotheses]]
name = "H1"
claim = "A relay is early"
better = "relay"
other = "fedavg"
measure = "early"
[[hypotheses]]
name = "H2"
claim = "A relay sends little"
better = "relay"
other = "fedavg"
criterion = "cheaper"
margin = 2
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory, data):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("plain")
    lying = folder / "data"
    lying.mkdir()
    rows = pq.read_table(data / "red.parquet").to_pylist()[:24]
    for number, row in enumerate(rows):
        row |= {"person": ("ann", "ben", "cat")[number % 3], "split": "test" if number % 4 == 0 else "train"}
    pq.write_table(pa.Table.from_pylist(rows), lying / "held.parquet")
    (folder / "plain.toml").write_text(STUDY)
    picked = chosen(folder / "plain.toml", "quick", lying)
    return folder, picked, study(picked, folder / "out", folder / "pages", workers=1)


def test_nothing_is_drawn_or_judged_and_the_page_says_nothing_of_it(played):
    folder, picked, page = played
    text = page.read_text()
    assert not list((folder / "out").glob("runs/*/drawn.npz"))
    assert not (folder / "out/judges").exists()
    for word in ("KID", "Judges", "Drawings", "Subject", "copies"):
        assert word not in text
    assert not any("judges" in line for line in listing(picked))
    assert json.loads((folder / "out/registration.json").read_text())["inputs"].keys() == {"held.parquet"}


def test_a_table_is_read_once_for_each_way_to_share_it_out(played, monkeypatch):
    picked, reads = played[1], []
    kind = type(picked.recipe(picked.arm("base"), 0).data.source)
    read = kind.read
    monkeypatch.setattr(kind, "read", lambda source, cut: reads.append(cut) or read(source, cut))
    assert len(plan(picked).jobs) == 4
    assert len(reads) == 2  # by person, and iid


def test_the_air_has_a_table_and_plots_of_its_own(played):
    folder, _, page = played
    text = page.read_text()
    assert "### On the air" in text
    assert "lte: min | lte: kJ | wifi: min | wifi: kJ" in text
    for name in ("bytes", "clock", "energy"):
        ET.parse(page.parent / f"plain-{name}.svg")
        assert f"plain-{name}.svg" in text
    relay = json.loads((folder / "out/results/relay-seed-0.json").read_text())
    assert [lap["round"] for lap in relay["air"]["lte"]] == [1, 2, 3]  # the last hands out what is kept
    assert relay["across_bytes"] > 0
    assert "across, MB" in text


def test_how_far_clients_go_apart_has_a_table_of_the_forms_that_tell(played):
    folder, _, page = played
    section = page.read_text().split("### How far clients go apart")[1].split("\n#")[0]
    told = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")][1:]
    assert told
    for path in (folder / "out/results").glob("*.json"):
        result = json.loads(path.read_text())
        assert bool(result["drift"]) == (result["arm"] in told)
        assert result["drift"].get("disagreement", 0) >= 0


def test_shares_are_of_the_bare_model_also_for_other_clients(played):
    folder, _, page = played
    numbers = json.loads((page.parent / "plain.json").read_text())
    rows = {row["name"]: row for row in numbers["arms"]}
    assert {len(row["removed"]) for row in rows.values()} == {1}
    iid = json.loads((folder / "out/results/iid-seed-0.json").read_text())
    assert iid["own_bare"] is True
    assert len(iid["people"]) == 2
    assert all(person["bare"] for person in iid["people"].values())
    outcomes = {v["hypothesis"]["name"]: v for v in numbers["verdicts"]}
    assert outcomes["H1"]["mean"] is not None
    assert outcomes["H2"]["outcome"] in ("supported", "not supported")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ('measure = "early"', r"hypotheses.H1.measure: kid is of drawings; add the table \[judging\]"),
        ('criterion = "cheaper"', r"hypotheses.H2.even: 'steadier' takes two arms there"),
    ],
)
def test_what_a_plain_study_cannot_claim_is_one_line(tmp_path, change, complaint):
    other = {'measure = "early"': 'measure = "kid"', 'criterion = "cheaper"': 'criterion = "steadier"'}[change]
    (tmp_path / "plain.toml").write_text(STUDY.replace(change, other))
    with pytest.raises(UserError, match=complaint):
        chosen(tmp_path / "plain.toml", "quick", tmp_path)


def test_losses_of_one_round_alone_are_no_plot_by_round():
    once, twice = ([{"round": k, "loss": 1.0 / k} for k in rounds] for rounds in ((4,), (1, 4)))
    results = {("base", 0): {"rounds": []}, ("short", 0): {"rounds": once}, ("long", 0): {"rounds": twice}}
    assert rounds_plot(results, ["short"]) == ""
    assert "short" in rounds_plot(results, ["short", "long"])
