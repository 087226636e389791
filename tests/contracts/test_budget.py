"""A budget is what a client really trains, under every form and keeping."""

from collections import Counter

import pytest

from coterie.core.errors import UserError
from coterie.runs.budget import local_steps
from coterie.runs.recipe import control_of, make_recipe

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
