"""The page of a run in which people came, left and moved."""

import json

from coterie.cli.words import sentence
from coterie.report import make_report
from coterie.report.lives import belonging, happened
from coterie.report.measures import Measures
from coterie.report.read import read_arm
from coterie.runs.loop import other_people


def lively(path):
    """The fixture with a journal in which cleo came before round 1, and dov changed clusters and bo left before 2."""
    server = path / "server"
    first = {"ada": "cluster-0", "bo": "cluster-1", "dov": "cluster-7"}
    second = {**first, "cleo": "cluster-0"}
    third = {"ada": "cluster-0", "cleo": "cluster-0", "dov": "cluster-1"}
    done = [
        {"round": 0, "clusters": first, "numbers": {}},
        {"round": 1, "clusters": {}, "numbers": {}},  # killed and played again: the last one counts
        {"round": 1, "clusters": second, "numbers": {"life/ari": 1.0}, "joined": ["cleo"], "left": [], "rewished": []},
        {"round": 2, "clusters": third, "numbers": {"life/moved": 1.0, "life/died": 1.0, "life/ari": 0.25},
         "joined": [], "left": ["bo"], "rewished": ["dov"]},
        {"round": 3, "clusters": third, "numbers": {}},
    ]  # fmt: skip
    events = [{"event": "started"}, *({"event": "round_done", **event} for event in done)]
    (server / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    results = json.loads((server / "results.json").read_text())
    results["clients"]["bo"]["left"], results["clients"]["cleo"]["joined"] = 2, 1
    results["clusters"] = third
    results["final"] = [s for s in results["final"] if s["client"] != "bo"]
    results["history"] = [
        {**s, "round": 1} if (s["client"], s["adapter"]) == ("cleo", "base") else s
        for s in results["history"]
        if (s["client"], s["round"]) != ("bo", 2)
    ]
    for key in ("wishes", "copies"):
        del results[key]["bo"]
    (server / "results.json").write_text(json.dumps(results))
    return path


def test_the_table_says_who_belonged_where_and_what_happened(write_run, tmp_path):
    path = lively(write_run(tmp_path / "run"))
    arm = read_arm(path)
    found = belonging(arm, {"cluster-0": 0, "cluster-1": 1})
    assert found["heads"] == ["start", "round 1", "round 2"]
    cells = {row["name"]: row["cells"] for row in found["rows"]}
    assert cells["bo"] == [("cluster-1", 1), ("cluster-1", 1), None]
    assert cells["cleo"] == [None, ("cluster-0", 0), ("cluster-0", 0)]
    assert cells["dov"] == [("cluster-7", 2), ("cluster-7", 2), ("cluster-1", 1)]
    page = make_report(path).read_text()
    assert "Who belonged where, by round" in page
    assert "before round 1: cleo joined; agreement with the last grouping 1.00" in page
    assert "bo left; dov with another wish; 1 changed clusters; 1 gone; agreement with the last grouping 0.25" in page
    assert "left before round 2" in page
    assert "what bo keeps" not in page
    assert "what cleo keeps" in page


def test_who_came_later_is_measured_from_the_round_of_coming(write_run, tmp_path):
    own = Measures(read_arm(lively(write_run(tmp_path / "run"))))
    assert own.removed_after(0, "ada") == 0.0
    assert own.removed_after(0, "cleo") is None
    assert own.removed_after(2, "cleo") == own.removed_after(2, "ada") > 0
    assert own.removed("cleo", "own") == own.removed("ada", "own")
    assert own.removed("bo", "own") is None


def test_a_run_in_which_nothing_changed_has_no_such_table(write_run, tmp_path):
    path = write_run(tmp_path / "run")
    assert belonging(read_arm(path), {}) is None
    assert "Who belonged where" not in make_report(path).read_text()


def test_the_terminal_says_it_in_the_rounds_line():
    event = {
        "round": 3, "loss": 0.5, "clusters": {}, "up_bytes": 1, "down_bytes": 2, "seconds": 1.0, "rewished": [],
        "joined": ["a", "b", "c", "d", "e"], "left": [], "numbers": {"life/born": 2.0, "life/ari": 0.5},
    }  # fmt: skip
    assert sentence("round_done", event).endswith(
        "1.0 s  a, b, c and 2 more joined; 2 new; agreement with the last grouping 0.50"
    )
    assert happened({"numbers": {"aggregate/x": 1.0}}) == ""


def test_a_loss_of_other_people_than_the_last_one_says_so():
    """Scored were rounds 0, 2 and 4: cleo came before 2, and before 4 bo went and came dov, who was scored bare too."""
    served = {2: ("ada", "bo", "cleo"), 4: ("ada", "cleo", "dov"), 5: ("ada", "cleo", "dov")}
    scores = [{"round": 0, "client": c, "test": "own", "adapter": "base"} for c in ("ada", "bo")]
    scores += [{"round": 2, "client": "cleo", "test": t, "adapter": "base"} for t in ("own", "style")]
    scores += [
        {"round": r, "client": c, "test": "own", "adapter": "served"} for r, some in served.items() for c in some
    ]
    scores += [{"round": 5, "client": "edda", "test": "own", "adapter": "base"}]  # and did not answer a second time
    found = [other_people(scores, number) for number in (0, 2, 4, 5)]
    assert found == [{}, {"people": 3, "new": 1, "gone": 0}, {"people": 3, "new": 1, "gone": 1}, {}]
    event = {"round": 4, "loss": 0.5, "clusters": {}, "up_bytes": 1, "down_bytes": 2, "seconds": 1.0, "numbers": {}}
    assert "held-out loss 0.5000  up" in sentence("round_done", event)
    assert "held-out loss 0.5000 (of 3 people: 1 new, 1 gone)  up" in sentence(
        "round_done", {**event, "scored": found[2]}
    )
