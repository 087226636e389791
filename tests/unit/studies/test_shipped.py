"""The studies in ``recipes/``: they are read, play what they must, and their people wish in every kind of words."""

from pathlib import Path

import pytest

from coterie.core.errors import UserError
from coterie.data.sources.people import People
from coterie.evals.wishes import KINDS
from coterie.studies.chosen import chosen

RECIPES = Path(__file__).parents[3] / "recipes"
STUDIES = ("emoji", "icons", "omniglot")
ALWAYS = {
    "base", "base told the wish", "local", "fedavg", "fedavg told the wish", "fedavg + personal", "random clusters",
    "ifca", "by weights", "by wishes", "by wishes, mixed", "oracle", "one-shot mean",
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_a_shipped_study_has_all_arms_and_settings(name):
    picked = chosen(RECIPES / f"{name}.toml", "standard", Path("data"))
    assert {arm.name for arm in picked.study.arms} >= ALWAYS
    assert set(picked.study.settings) == {"quick", "standard", "full"}
    assert len(picked.setting.seeds) >= 3
    assert picked.study.settings["full"].samples >= 400
    assert (RECIPES / f"{name}-reading.md").is_file()


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("setting", ["quick", "standard", "full"])
def test_the_arms_of_a_shipped_study_have_equal_budgets(name, setting):
    """But for those that try fewer steps on validation subjects, and those that are not there yet."""
    picked = chosen(RECIPES / f"{name}.toml", setting, Path("data"))
    spent, tested, missing = {}, set(), []
    for arm in picked.study.arms:
        try:
            recipe = picked.recipe(arm, 0)
        except UserError:
            missing.append(arm.name)
            continue
        keeping = getattr(recipe.form, "keeping", None)
        spent[arm.name] = recipe.rounds * recipe.form.fit.steps + getattr(keeping, "steps", 0)
        same = recipe.data.model_copy(update={"prompt": "caption", "wish": "named"})
        tested.add((recipe.evaluation.levels, recipe.engine.tokens, recipe.form.fit.batch, str(same)))
    assert set(missing) <= {"ifca", "by wishes, mixed", "by both"}
    assert {steps for name, steps in spent.items() if not name.startswith("base")} == {spent["fedavg"]}
    assert len(tested) == 1


@pytest.mark.parametrize("name", ["emoji", "icons"])
def test_groups_played_once_more_are_the_same_groups_with_rates_chosen_for_them(name):
    first = chosen(RECIPES / f"{name}.toml", "standard", Path("data"))
    again = chosen(RECIPES / f"{name}-groups.toml", "standard", Path("data"))
    assert again.setting.seeds == first.setting.seeds
    assert again.setting.tuning["data"]["source"]["each"] == 2
    for arm in again.study.arms:
        before, now = first.recipe(first.arm(arm.name), 1), again.recipe(arm, 1)
        evaluation = now.evaluation.model_copy(update={"every": before.evaluation.every})
        assert now.model_copy(update={"name": before.name, "evaluation": evaluation}) == before


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("setting", ["standard", "full"])
def test_rates_are_chosen_where_groups_can_be(name, setting):
    """With one person of each look a group is a person, and a rate for groups cannot be told."""
    picked = chosen(RECIPES / f"{name}.toml", setting, Path("data"))
    assert picked.setting.tuning["data"]["source"]["each"] == 2
    assert "rates chosen on two people of each" in picked.setting.about


@pytest.mark.parametrize("name", STUDIES)
def test_people_wish_in_every_kind_of_words_and_never_alike(name):
    _, people, _ = People(RECIPES / f"{name}-people.toml").described()
    together = [person for person in people.values() if not person.apart]
    looks = [person.sets[0] for person in together]
    assert {looks.count(look) for look in looks} == {4}
    assert len(looks) == (20 if name == "icons" else 24)
    said = [person.wishes[kind] for person in people.values() for kind in KINDS]
    assert len(set(said)) == 3 * len(people)
    assert len([person for person in people.values() if person.apart]) == {"emoji": 2, "icons": 3, "omniglot": 0}[name]


@pytest.mark.parametrize(
    "name", ["aggregation", "forms", "ablations", "codecs", "uplink", "thin", "ink", "authors", "books", "ptb"]
)
@pytest.mark.parametrize("setting", ["quick", "standard"])
def test_arms_of_the_studies_of_forms_and_rules_train_equally_long(name, setting):
    """A server that trains too, and a single round, are what some arms are about; every arm is there."""
    picked = chosen(RECIPES / f"{name}.toml", setting, Path("data"))
    spent = {}
    for arm in picked.study.arms:
        recipe = picked.recipe(arm, 0)
        own = getattr(getattr(recipe.form, "keeping", None), "steps", 0)
        steps = recipe.rounds * recipe.form.fit.steps * getattr(recipe.form, "edge_rounds", 1) + own
        clients = 12 if recipe.data.pool == "all" else 1  # one client for all takes the batches of twelve at once
        if arm.trains:
            spent[arm.name] = steps * recipe.form.fit.batch / clients
    assert set(spent.values()) == {spent[picked.study.target]}
    assert picked.study.hypotheses


def test_a_condition_makes_an_arm_of_its_own_at_the_first_ones_rate():
    picked = chosen(RECIPES / "aggregation.toml", "standard", Path("data"))
    few = picked.arm("ties: 4 alike")
    assert (few.rate_of, few.bare) == ("ties: 24 by look", "own")
    assert picked.arm("ties: 24 by look").rate_of == ""
    assert picked.recipe(few, 0).data.num_clients == 4
    with pytest.raises(UserError, match=r"no arm is called 'ties: 5 alike'; did you mean 'ties: 4 alike'"):
        picked.arm("ties: 5 alike")
