"""Verdicts are functions of results: invented ones, of which the answer is known."""

import pytest

from coterie.studies.recipe import Hypothesis
from coterie.studies.verdicts import summary, to_target, verdict

LOOKS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}


def result(share, style=0.5, kid=0.1, losses=(0.9, 0.8), apart=0.9):
    """A run that removed a share of a loss of one, equal for all or by client."""
    shares = share if isinstance(share, dict) else dict.fromkeys(LOOKS, share)
    people = {
        name: {
            "style": look, "apart": "", "own": [1 - shares[name]] * 4, "everything": [1 - shares[name] / 2] * 4,
            "copies": [1, 8, 0.1], "style_share": style,
        }
        for name, look in LOOKS.items()
    }  # fmt: skip
    people["x"] = {"style": "", "apart": "odd", "own": [1 - apart] * 4, "everything": [1.0] * 4, "copies": None}
    done = [{"round": k, "loss": loss, "bytes": 100.0 * k, "seconds": k} for k, loss in enumerate(losses, 1)]
    styles = {look: {"kid": kid, "spread": 0.5} for look in "ab"}
    return {
        "people": people, "styles": styles, "rounds": done, "up_bytes": 50, "down_bytes": 50, "seconds": 3.0,
        "clusters": {}, "agreement": {},
    }  # fmt: skip


def results(**arms):
    found = {("base", seed): result(0.0, style=0.1, losses=(), apart=0.0) for seed in (0, 1, 2)}
    for name, runs in arms.items():
        found |= {(name, seed): run for seed, run in enumerate(runs)}
    return found


def claim(**more):
    return Hypothesis(**{"name": "H", "claim": "", "better": "one", "other": "two", **more})


def test_ahead_everywhere_is_supported_and_by_less_than_the_margin_is_not():
    found = results(one=[result(0.30), result(0.32), result(0.31)], two=[result(0.25)] * 3)
    got = verdict(claim(margin=0.05, won=2), found)
    assert (got.outcome, got.won, got.of) == ("supported", 2, 2)
    assert got.mean == pytest.approx(0.06)
    assert verdict(claim(margin=0.07), found).outcome == "not supported"
    assert verdict(claim(better="two", other="one"), found).outcome == "not supported"


def test_one_look_that_loses_costs_the_looks_won_and_apart_people_count_nowhere():
    mixed = {"a1": 0.5, "a2": 0.5, "b1": 0.2, "b2": 0.2}
    found = results(one=[result(mixed, apart=-5.0)] * 3, two=[result(0.25)] * 3)
    got = verdict(claim(won=2), found)
    assert (got.won, got.of, got.outcome) == (1, 2, "not supported")
    assert got.mean == pytest.approx(0.1)
    assert summary(found, "one", "two")["apart"] == {"x": pytest.approx(-5.0)}


def test_no_worse_reads_the_interval_and_style_is_less_the_base():
    found = results(one=[result(0.24)] * 3, two=[result(0.25)] * 3)
    assert verdict(claim(criterion="no worse", margin=0.02), found).outcome == "supported"
    assert verdict(claim(criterion="no worse", margin=0.005), found).outcome == "not supported"
    assert summary(found, "one", "two")["style"] == pytest.approx([0.4] * 3)


def test_less_distance_is_better():
    found = results(one=[result(0.3, kid=0.05)] * 3, two=[result(0.3, kid=0.2)] * 3)
    got = verdict(claim(measure="kid", margin=0.1), found)
    assert (got.outcome, got.mean) == ("supported", pytest.approx(0.15))


def test_a_share_of_what_the_reference_gains():
    found = results(one=[result(0.28)] * 3, two=[result(0.20)] * 3, best=[result(0.30)] * 3)
    got = verdict(claim(criterion="share", reference="best", margin=0.75), found)
    assert (got.outcome, got.mean) == ("supported", pytest.approx(0.8))
    assert verdict(claim(criterion="share", reference="best", margin=0.85), found).outcome == "not supported"
    lost = verdict(claim(criterion="share", reference="two", other="best", margin=0.5), found)
    assert (lost.outcome, lost.mean) == ("not supported", None)
    assert "gains nothing" in lost.note


def test_rounds_and_bytes_to_a_loss():
    slow, fast = result(0.3, losses=(0.9, 0.85, 0.8, 0.7)), result(0.3, losses=(0.8, 0.7, 0.6, 0.5))
    assert to_target(fast, slow) == {"round": 2, "loss": 0.7, "bytes": 200.0, "seconds": 2}
    found = results(one=[fast] * 3, two=[slow] * 3)
    assert verdict(claim(criterion="reaches", margin=0.5), found).outcome == "supported"
    assert verdict(claim(criterion="reaches", margin=0.4), found).outcome == "not supported"
    for done in fast["rounds"]:
        done["bytes"] *= 1.002  # headers
    assert verdict(claim(criterion="reaches", margin=0.5), found).outcome == "supported"
    for done in fast["rounds"]:
        done["bytes"] *= 1.5
    assert verdict(claim(criterion="reaches", margin=0.5), found).outcome == "not supported"
    never = verdict(claim(criterion="reaches", better="two", other="one"), found)
    assert (never.outcome, never.note) == ("not supported", "in seed 0 it never comes to that loss")


def test_what_is_missing_is_not_measured():
    found = results(one=[result(0.3)])
    assert verdict(claim(), found).outcome == "not measured"
    assert "two" in verdict(claim(), found).note
    found = results(one=[result(0.3)], two=[result(0.2)])
    assert verdict(claim(measure="subject"), found).outcome == "not measured"
    assert verdict(claim(), found).note == "one seed: the interval is over clients only"


def test_steadier_is_what_trouble_costs_less():
    """Both lose to the trouble: one 0.02, two 0.10."""
    arms = {"one": 0.28, "two": 0.30, "one_even": 0.30, "two_even": 0.40}
    found = results(**{name: [result(share)] * 3 for name, share in arms.items()})
    got = verdict(claim(criterion="steadier", even=("one_even", "two_even"), margin=0.05), found)
    assert (got.outcome, got.mean) == ("supported", pytest.approx(0.08))
    turned = claim(better="two", other="one", criterion="steadier", even=("two_even", "one_even"))
    assert verdict(turned, found).outcome == "not supported"


def test_cheaper_counts_what_clients_send_to_anybody():
    light, heavy = result(0.3) | {"up_bytes": 5, "across_bytes": 20}, result(0.3)
    found = results(one=[light] * 3, two=[heavy] * 3)
    assert verdict(claim(criterion="cheaper", margin=0.5), found).outcome == "supported"
    assert verdict(claim(criterion="cheaper", margin=0.49), found).outcome == "not supported"
    assert verdict(claim(criterion="cheaper"), results(one=[light], two=[heavy | {"up_bytes": 0}])).mean is None


def test_early_is_after_the_first_round_and_other_clients_are_compared_with_their_own_bare_model():
    def begun(share, early):
        made = result(share)
        for name in LOOKS:
            made["people"][name] |= {"early": [1 - early] * 4, "bare": [2.0] * 4}
        return made

    found = results(one=[begun(0.3, 0.2)] * 3, two=[begun(0.3, 0.1)] * 3)
    got = verdict(claim(measure="early", margin=0.05), found)
    assert (got.outcome, got.mean) == ("supported", pytest.approx(0.1))
    own = {key: run | {"own_bare": True} if key[0] == "one" else run for key, run in found.items()}
    assert summary(own, "one", "two")["removed"] == pytest.approx([1 - 0.7 / 2] * 3)


def test_arms_with_other_clients_are_compared_on_those_that_both_have():
    few = result(0.5)
    few["people"] = {name: few["people"][name] for name in ("a1", "b1")}
    found = results(one=[few] * 3, two=[result({"a1": 0.1, "a2": 0.9, "b1": 0.1, "b2": 0.9})] * 3)
    got = verdict(claim(), found)
    assert (got.outcome, got.mean) == ("supported", pytest.approx(0.4))
