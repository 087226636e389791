"""A budget is what a client really trains, under every form and keeping."""

from collections import Counter

import pytest

from coterie.core.errors import UserError
from coterie.runs.budget import local_steps
from coterie.runs.reading import control_of, make_recipe

FORMS = ["local", "fedavg", "sequential", "hierarchical", "scaffold", "split_steps", "clustered", "rooted"]
KEEPINGS = [{"name": "none"}, {"name": "ditto", "steps": 5}, {"name": "stacked", "steps": 5, "rank": 1},
            {"name": "finetune", "steps": 8}]  # fmt: skip


@pytest.mark.parametrize("keeping", KEEPINGS, ids=lambda k: k["name"])
@pytest.mark.parametrize("form", FORMS)
def test_a_client_takes_the_budgets_steps(world, form, keeping):
    settings = {"name": form}
    if form != "local":
        settings["keeping"] = keeping
    if form in ("hierarchical", "clustered", "rooted"):
        settings["grouping"] = "oracle"
    recipe = make_recipe({"rounds": 2, "budget": 48, "form": settings}, "toy")
    w, taken = world(recipe.form, clients=3, rounds=2), Counter()

    def noting(kind, works):
        taken.update({work.client: work.payload[1].steps for work in works if kind == "fit"})

    world.watched(w, noting)
    taken.pop("server", None)
    assert dict(taken) == dict.fromkeys(w.targets, 48)
    assert local_steps(recipe.form, 2) == 48


def test_of_a_split_model_steps_are_counted_alike(world):
    settings = {"name": "split", "keeping": {"name": "finetune", "steps": 8}}
    recipe = make_recipe({"rounds": 2, "budget": 48, "form": settings}, "toy")
    w, taken = world(recipe.form, clients=3, rounds=2), Counter()

    def noting(kind, works):
        gradients = [w for w in works if kind == "side" and w.payload["verb"] in ("backward", "end")]
        taken.update(w.client for w in gradients if w.payload["given"] is not None)
        taken.update({w.client: w.payload[1].steps for w in works if kind == "fit"})

    world.watched(w, noting)
    assert dict(taken) == {**dict.fromkeys(w.targets, 48), "server": 3 * 40}
    assert local_steps(recipe.form, 2) == 48


def test_what_cannot_be_shared_out_is_one_line():
    hierarchical = {"name": "hierarchical", "edge_rounds": 2, "keeping": {"name": "ditto", "steps": 3}}
    with pytest.raises(UserError, match=r"toy: budget: 50 local steps .* over 6 trainings with 3 .*; take 48 or 54"):
        make_recipe({"rounds": 3, "budget": 50, "form": hierarchical}, "toy")
    with pytest.raises(UserError, match=r"toy: budget: 12 local steps cannot be .*; take at least 18"):
        make_recipe({"rounds": 3, "budget": 12, "form": hierarchical}, "toy")
    with pytest.raises(UserError, match=r"toy: budget: 5 steps cannot be taken in no round; raise rounds"):
        make_recipe({"rounds": 0, "budget": 5, "form": "fedavg"}, "toy")


def test_a_control_has_the_same_budget():
    recipe = make_recipe(
        {"rounds": 4, "budget": 64, "form": "fedavg", "control": {"form": {"name": "hierarchical"}}}, "toy"
    )
    assert recipe.form.fit.steps == 16
    assert control_of(recipe).form.fit.steps == 8
    assert (
        make_recipe({"rounds": 4, "budget": 0, "form": {"name": "fedavg", "fit": {"steps": 7}}}, "t").form.fit.steps
        == 7
    )


QUICK = {"rounds": 3, "form": {"name": "clustered", "keeping": {"name": "finetune", "steps": 8}}}
PLAIN = {"form": {"name": "fedavg", "keeping": {"name": "none"}}}


def advised(recipe):
    """What a complaint offers: the words after ``take``."""
    with pytest.raises(UserError) as caught:
        make_recipe(recipe, "toy")
    return str(caught.value).partition("; take ")[2], str(caught.value)


def test_where_no_budget_suits_run_and_control_each_gets_its_own_and_what_is_advised_works():
    words, said = advised({**QUICK, "budget": 57, "control": PLAIN})
    assert said.startswith("toy: budget: 57 local steps cannot be shared out evenly over 3 trainings")
    assert words == "56 or 59 for the run and control.budget = 57, as none suits both"
    words, _ = advised({**QUICK, "budget": 58, "control": PLAIN})
    assert words == "56 or 59 for the run and control.budget = 57 or 60, as none suits both"
    words, said = advised({**QUICK, "budget": 56, "control": PLAIN})
    assert said.startswith("toy: control.budget: 56 local steps cannot be shared out evenly over 3 trainings with 0 ")
    assert words == "control.budget = 54 or 57, as no budget suits run and control"
    for other in (54, 57):
        recipe = make_recipe({**QUICK, "budget": 56, "control": {**PLAIN, "budget": other}}, "toy")
        assert local_steps(recipe.form, 3) == 56
        assert local_steps(control_of(recipe).form, 3) == other


def test_what_is_advised_suits_run_and_control_where_anything_does():
    control = {"form": {"name": "hierarchical", "edge_rounds": 3}}
    words, said = advised({"rounds": 4, "budget": 52, "form": "fedavg", "control": control})
    assert said.startswith("toy: control.budget: 52 local steps cannot")
    assert words == "budget = 48 or 60, for run and control"
    words, said = advised({"rounds": 4, "budget": 49, "form": "fedavg", "control": control})
    assert said.startswith("toy: budget: 49 local steps cannot")
    assert words == "budget = 48 or 60, for run and control"
    for budget in (48, 60):
        recipe = make_recipe({"rounds": 4, "budget": budget, "form": "fedavg", "control": control}, "toy")
        assert {local_steps(one.form, 4) for one in (recipe, control_of(recipe))} == {budget}


def test_a_control_may_say_its_own_steps_or_need_none():
    control = {"form": {"name": "fedavg", "keeping": {"name": "none"}, "fit": {"steps": 5}}}
    recipe = make_recipe({**QUICK, "budget": 56, "control": control}, "toy")
    assert (recipe.form.fit.steps, control_of(recipe).form.fit.steps) == (16, 5)
    with pytest.raises(UserError, match=r"^toy: control.budget: 56 steps .* raise rounds, or take control.budget = 0$"):
        make_recipe({**QUICK, "budget": 56, "control": {"rounds": 0}}, "toy")
    make_recipe({**QUICK, "budget": 56, "control": {"rounds": 0, "budget": 0}}, "toy")


def test_no_control_can_be_typed_as_the_reference_says():
    for nothing in ("none", {}):
        recipe = make_recipe({"control": nothing}, "toy")
        assert (recipe.control, control_of(recipe)) == ({}, None)
