"""What a recipe sets is heeded by its form or refused: whatever form there is, with nothing in between."""

import pytest

from coterie.core.errors import UserError
from coterie.engines.devices import Devices
from coterie.federation.shelves import FORMS
from coterie.runs.reading import make_recipe

NEEDED = {"ifca": {"clusters": 2}, "scaffold": {"fit": {"optimiser": "sgd", "rate": 0.1}}}


def complaint(form, **more):
    """What is wrong with a recipe that says it; empty if nothing is."""
    try:
        make_recipe({"form": {"name": form, **NEEDED.get(form, {})}, **more}, "toy")
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("form", FORMS.names())
def test_who_overstates_moves_what_is_learned_or_is_refused(world, form):
    def learned(**overstates):
        w = world(form, NEEDED.get(form, {}), rounds=2, devices=Devices(overstates=overstates))
        w.play()
        return {key: value for key, value in w.final()["state"].items() if key != "numbers"}

    said = complaint(form, devices={"overstates": {"a0": 5.0}})
    assert not said or said.startswith("toy: devices.overstates: ")
    assert bool(said) == (learned() == learned(a0=5.0))


@pytest.mark.parametrize("form", FORMS.names())
def test_who_answers_too_late_leaves_no_trace_or_over_selection_is_refused(world, form):
    w = world(form, NEEDED.get(form, {}), rounds=2, share=0.5, over=1.0, devices=Devices(spread=1.0))
    w.play()
    late = {n: {m["client"] for _, m in w.events if m.get("kind") == "surplus" and m["round"] == n} for n in (1, 2)}
    always = late[1] & late[2]
    heeded = bool(always) and not always & w.final()["memories"].keys()
    said = complaint(form, cohort={"over": 0.3})
    assert not said or said.startswith("toy: cohort.over: ")
    assert bool(said) != heeded


def test_one_edge_round_knows_who_is_first(world):
    one = {"name": "hierarchical", "edge_rounds": 1}
    make_recipe({"form": one, "cohort": {"over": 0.3}}, "toy")
    w = world("hierarchical", {"edge_rounds": 1}, rounds=1, share=0.5, over=1.0, devices=Devices(spread=1.0))
    w.play()
    late = {more["client"] for event, more in w.events if event == "client_failed"}
    assert late
    assert not late & w.final()["memories"].keys()


def test_what_would_do_nothing_is_one_line_with_the_key():
    lies = {"overstates": {"ada": 10.0}}
    with pytest.raises(
        UserError, match=r"^toy: devices.overstates: in the form split .* which nobody overstates; leave"
    ):
        make_recipe({"form": "split", "devices": lies}, "toy")
    with pytest.raises(UserError, match=r"^toy: control: devices.overstates: in the form local .*; leave it out"):
        make_recipe({"form": "fedavg", "devices": lies, "control": {"form": "local"}}, "toy")
    with pytest.raises(
        UserError, match=r"^toy: form.fit.levels: the form split_steps .*; leave it out, and set form.cut$"
    ):
        make_recipe({"form": {"name": "split_steps", "fit": {"levels": [0.2, 0.8]}}}, "toy")
    with pytest.raises(
        UserError, match=r"^toy: form.aggregator: unknown key; there are: cut, fit, keeping, server, shape$"
    ):
        make_recipe({"form": {"name": "split", "aggregator": "product_svd"}}, "toy")


def test_what_changes_nothing_is_not_refused():
    """The honest, where nothing is trained, and a control that takes it back."""
    make_recipe({"form": "split", "devices": {"overstates": [1, 1.0]}}, "toy")
    make_recipe({"form": "local", "rounds": 0, "devices": {"overstates": [10.0]}}, "toy")
    control = {"form": "local", "devices": {"overstates": []}}
    make_recipe({"form": "fedavg", "devices": {"overstates": [10.0, 1.0]}, "control": control}, "toy")
    make_recipe({"form": {"name": "split_steps", "fit": {"levels": [0, 1]}}}, "toy")


def test_which_factor_trains_is_no_setting():
    with pytest.raises(UserError, match=r"^toy: form.fit.train: a rule says .* take ffa or rolora$"):
        make_recipe({"form": {"name": "fedavg", "fit": {"train": "a"}}}, "toy")


def test_nothing_is_sealed_where_nothing_is_summed_up():
    with pytest.raises(UserError, match=r"^toy: cohort.sealed: the form local reads"):
        make_recipe({"form": "local", "cohort": {"sealed": True}}, "toy")
