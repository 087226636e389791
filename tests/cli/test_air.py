"""``coterie air``: runs priced on modelled links."""

import json
import shutil

import pytest


def test_profiles_are_listed(typed):
    code, out, _ = typed("air", "--format", "json")
    assert code == 0
    assert {"lte", "5g", "wifi", "satellite", "lorawan"} <= {row["profile"] for row in json.loads(out)}


def test_a_finished_run_is_priced_and_the_report_says_so(typed, tiny_runs):
    run = tiny_runs / "first"
    code, out, err = typed("air", run, "--profile", "lte", "--profile", "lorawan", "--format", "json")
    assert (code, "air.json" in err) == (0, True)
    rows = {row["profile"]: row for row in json.loads(out)}
    assert set(rows) == {"lte", "lorawan"}
    found = json.loads((run / "server" / "air.json").read_text())
    assert found["operations"]["forward"] < found["operations"]["training"] < 3 * found["operations"]["forward"]
    results = json.loads((run / "server" / "results.json").read_text())
    one = found["profiles"]["lte"]
    laps = {lap["round"]: lap for lap in one["rounds"]}
    trained = {r for r, _, kind, purpose, *_ in results["work"] if (kind, purpose) == ("trained", "train")}
    assert trained == set(range(1, results["rounds"] + 1))
    assert all(laps[r]["parts"]["compute"] > 0 for r in trained)
    assert (
        laps[max(laps)]["until"]
        == pytest.approx(one["total"]["seconds"])
        == pytest.approx(sum(lap["seconds"] for lap in laps.values()))
    )
    page = (run / "server" / "report.html").read_text()
    assert "modelled" in page
    assert "a sensor&#39;s radio in an unlicensed band" in page
    assert "Time and energy until a loss" in page


def test_twice_the_rate_is_half_the_time_of_sending(typed, tiny_runs):
    run = tiny_runs / "first"
    ups = []
    for up in (1, 2):
        assert typed("air", run, "--profile", "lte", "--set", f"cell.up={up}", "--set", "cell.delay=0")[0] == 0
        found = json.loads((run / "server" / "air.json").read_text())["profiles"]
        ups.append(found[f"lte, changed: cell.up = {up}, cell.delay = 0"]["total"]["up"])
    assert ups[0] == pytest.approx(2 * ups[1], rel=0.05)


def test_overridden_numbers_bear_another_name_and_earlier_prices_stay(typed, tiny_runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_runs / "first", run)
    (run / "server" / "air.json").unlink(missing_ok=True)

    def priced(*words):
        code, out, err = typed("air", run, "--profile", "lte", "--format", "json", *words)
        assert code == 0, err
        return [row["profile"] for row in json.loads(out)], json.loads((run / "server" / "air.json").read_text())

    _, before = priced()
    rows, found = priced("--set", "cell.up=3", "--set", "machine.gflops=1000")  # the second is what it is anyway
    changed = "lte, changed: cell.up = 3"
    assert rows == [changed]
    assert list(found["profiles"]) == ["lte", changed]
    assert found["profiles"]["lte"] == before["profiles"]["lte"]
    cited = found["profiles"]["lte"]["numbers"]["sources"]
    said = found["profiles"][changed]["numbers"]["sources"]
    assert said == f"none for cell.up; for the other numbers: {cited}"
    assert list(priced("--set", "cell.up=6")[1]["profiles"]) == ["lte", changed]
    page = (run / "server" / "report.html").read_text()
    assert changed in page
    assert "none for cell.up" in page


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--profile", "lt"], "did you mean 'lte'"),
        (["--set", "cell.rate=3"], "unknown key"),
        (["--file", "none.toml"], "none.toml: cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(typed, tiny_runs, words, wanted):
    code, _, err = typed("air", tiny_runs / "first", *words)
    assert (code, wanted in err, len(err.strip().splitlines())) == (2, True, 1)


def test_a_profile_without_a_run_has_nothing_to_price(typed, tmp_path):
    assert typed("air", "--profile", "lte")[0] == 2
    code, _, err = typed("air", tmp_path)
    assert (code, len(err.strip().splitlines())) == (2, 1)
