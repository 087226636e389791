"""The page of very many people: all in one distribution, a few of every cluster by name."""

import copy
import json
import re

import pytest

from coterie.report import make_report
from coterie.report.crowd import HEIGHT, MANY, crowd, piles, spread_out
from coterie.report.measures import Measures
from coterie.report.read import read_arm

PEOPLE = 300


def crowded(path):
    """The fixture with many people who are like ada, each a little better than the one before, in two clusters."""
    file = path / "server" / "results.json"
    results = json.loads(file.read_text())
    for key in ("history", "final"):
        mine = [s for s in results[key] if s["client"] == "ada"]
        results[key] += [
            {**s, "client": f"p{k:03d}", "loss": s["loss"] if s["adapter"] == "base" else s["loss"] * (1 - k / 1e3)}
            for s in copy.deepcopy(mine)
            for k in range(PEOPLE)
        ]
    for k in range(PEOPLE):
        results["clients"][f"p{k:03d}"] = results["clients"]["ada"]
        results["clusters"][f"p{k:03d}"] = f"cluster-{k % 2}"
    file.write_text(json.dumps(results))
    return path


def test_a_page_of_many_shows_all_as_piles_and_few_by_name(write_run, tmp_path):
    path = crowded(write_run(tmp_path / "run"))
    arm = read_arm(path)
    found = crowd(Measures(arm), {"cluster-0": 0, "cluster-1": 1})
    assert {"p298", "p299"} <= found.names
    assert len(found.names) <= MANY // 2
    page = make_report(path).read_text()
    assert page.count('<article class="person"') == len(found.names)
    assert f"All {found.count} people by the share of error removed" in page
    assert f"all {found.count} people ran on one machine" in " ".join(re.sub("<[^>]*>", "", page).split())
    assert re.search(r", p\d+ and \d+ more", page)
    assert len(page) < 2e6


def test_few_people_are_shown_one_by_one(write_run, tmp_path):
    path = write_run(tmp_path / "run")
    assert crowd(Measures(read_arm(path)), {}) is None
    assert "crowd" not in make_report(path).read_text().partition("<body>")[2]


def test_shown_are_the_worst_the_best_and_those_between():
    removed = {f"c{k}": k / 100 for k in range(101)}
    assert spread_out(list(removed), removed, 5) == ["c0", "c25", "c50", "c75", "c100"]
    assert spread_out(["b", "a"], {"a": None, "b": None}, 5) == ["a", "b"]


def test_every_person_is_in_one_pile():
    removed = {f"c{k}": (k % 7) / 10 for k in range(70)}
    bars, ticks, most = piles(removed, {c: int(c[1:]) % 3 for c in removed})
    assert most == 10
    tall = {}
    for x, _, _, height, _ in bars:
        tall[x] = tall.get(x, 0.0) + height
    assert sum(tall.values()) == pytest.approx(70 / 10 * max(tall.values()))
    assert min(y for _, y, *_ in bars) >= 0
    assert max(y + h for _, y, _, h, _ in bars) <= HEIGHT
    assert (ticks[0][1], ticks[-1][1]) == pytest.approx((0.0, 0.6))
